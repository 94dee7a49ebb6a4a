"""Tests of the simulator itself: run by `make test-mps`, where it is installed."""

import sys

import pytest
import torch

from tests.simulated_mps import simulate

if "mps_sim" not in sys.modules:
    collect_ignore_glob = ["test_*.py", "mps_sim/*.py"]


@pytest.fixture(autouse=True)
def _nothing_beyond_the_device(request):
    """In place of the suite's own check: here gaps are met on purpose, with the installed version's operators."""
    import mps_sim

    mps_sim.install()
    mps_sim.reset()
    torch.manual_seed(0)
    yield
    simulate(request.config)
