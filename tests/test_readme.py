"""The README's code runs, and prints what the README says it prints."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nautilus_metal.cli.main import main
from nautilus_metal.cli.sweep_grid import options_of, read_grid

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", README, re.DOTALL)


@pytest.mark.parametrize(("code", "output"), BLOCKS, ids=[code.splitlines()[0][:40] for code, _ in BLOCKS])
def test_a_block_runs_and_prints_what_stands_under_it(code, output, capsys):
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    if output:
        printed = re.sub(r"on (mps|cuda:\d+)$", "on cpu", capsys.readouterr().out, flags=re.MULTILINE)
        assert printed == output


def test_the_blocks_are_found():
    assert len(BLOCKS) >= 4


def test_the_importable_actors_of_the_page_can_be_made():
    from nautilus_trader.common.config import ActorFactory

    code = next(code for code, _ in BLOCKS if "ImportableActorConfig(" in code)
    names: dict = {}
    exec(code.replace('"cuda"', '"cpu"'), names)
    made = [ActorFactory.create(config) for config in names["actors"]]
    assert [type(actor).__name__ for actor in made] == ["MetalEngineActor", "RiskActor"]
    assert made[1].config.scenarios == 100_000


def block(language: str, word: str) -> str:
    """The one block of a language that holds a word."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if word in text]
    assert len(found) == 1
    return found[0]


def test_the_book_of_the_page_is_assessed(tmp_path, capsys):
    history = np.random.default_rng(0).normal(0, 0.01, (400, 2))
    pd.DataFrame(history, columns=["AAPL", "KO"]).to_csv(tmp_path / "returns.csv", index=False)
    (tmp_path / "book.json").write_text(block("json", '"positions"'))
    assert main(["var", str(tmp_path / "book.json"), "--device", "cpu", "--scenarios", "2e3"]) == 0
    assert "student_t, 2,000 scenarios" in capsys.readouterr().out


def test_the_grid_of_the_page_is_read(tmp_path):
    (tmp_path / "grid.toml").write_text(block("toml", "[grid]"))
    grid = read_grid(tmp_path / "grid.toml")
    assert len(grid.runs) == 8
    assert options_of(grid.runs[0], tmp_path).settings == {"strategies": ["RSI", "RISK"], "RSI.period": 7}


def test_the_page_says_whose_project_it_is_not():
    assert "not affiliated with, endorsed by, or supported by Nautech Systems Pty Ltd" in README.replace("\n", " ")
