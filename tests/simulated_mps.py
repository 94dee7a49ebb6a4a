"""The simulated mps device of tests/mps_sim as this suite uses it."""

import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def simulate(config: pytest.Config) -> None:
    """Make mps a device of this process, with the operators of the torch version that the command line asks for."""
    if str(HERE / "mps_sim") not in sys.path:
        sys.path.insert(0, str(HERE / "mps_sim"))
    import mps_sim

    version = config.getoption("--mps-torch")
    mps_sim.install(oldest_torch() if version == "oldest" else version)


def oldest_torch() -> str:
    """Return the oldest version of torch that the project allows, with its patch number."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = next(line for line in project["dependencies"] if line.startswith("torch>=")).removeprefix("torch>=")
    return least if least.count(".") > 1 else f"{least}.0"
