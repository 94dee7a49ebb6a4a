"""The workflow for a Mac tests the versions that the project states."""

import re
from pathlib import Path

from tests.simulated_mps import oldest_torch

ROOT = Path(__file__).parents[1]
WORKFLOW = (ROOT / ".github" / "workflows" / "macos.yml").read_text(encoding="utf-8")


def test_it_runs_with_the_oldest_and_the_newest_torch():
    assert re.findall(r"versions: (.*)", WORKFLOW) == ["--constraint constraints.txt", f"torch=={oldest_torch()}"]


def test_it_runs_what_needs_the_chip():
    steps = re.findall(r"run: (\S.*)", WORKFLOW)
    assert "nautilus-metal doctor --verify --device mps" in steps
    assert "python -m pytest --device mps -m gpu" in steps


def test_operators_never_fall_back_there():
    assert re.search(r'PYTORCH_ENABLE_MPS_FALLBACK: "0"', WORKFLOW)


def test_both_tables_of_operators_are_in_ci():
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    target = make.partition("\ntest-mps:")[2].partition("\n\n")[0].splitlines()[1:]
    assert [line.strip() for line in target] == ["$(MPS)", "$(MPS) --mps-torch oldest -m gpu"]
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make ([\w-]+)", steps, re.MULTILINE) == ["check", "test", "test-mps", "test-v2"]
