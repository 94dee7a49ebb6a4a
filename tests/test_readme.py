"""The README's code runs, and prints what the README says it prints."""

import re
from pathlib import Path

import pytest

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


def test_the_page_says_whose_project_it_is_not():
    assert "not affiliated with, endorsed by, or supported by Nautech Systems Pty Ltd" in README.replace("\n", " ")
