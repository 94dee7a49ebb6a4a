"""The bench command's options, and what does not go together."""

import pytest

from nautilus_metal.cli import main


@pytest.mark.parametrize("arguments", [["pool"], ["--case", "pool"], ["pool", "--case", "pool"]])
def test_a_case_is_named_with_or_without_the_option(capsys, arguments):
    assert main(["bench", *arguments, "--quick", "--device", "cpu"]) == 0
    assert "torch.empty" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pool", "--case", "gate"], "`case` must be given once, was 'pool' and 'gate'"),
        (["pool", "--classic"], "`case` must be left away with `classic` and `calibrate`"),
        (["--calibrate", "--json", "--save"], "`json`, `save` must be left away"),
        (["--case", "pool,speed"], "must be one of rsi, "),
        (["--save", "--quick"], "leave `quick` away"),
    ],
)
def test_what_does_not_go_together_is_said(capsys, arguments, words):
    assert main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err
