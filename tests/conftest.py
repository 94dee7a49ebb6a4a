"""Fixtures for every test: the engines of this machine, and pools that start empty."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine is no failure; CI replays the same examples each time, other runs look for new ones.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")

GPU_KINDS = ("mps", "cuda")


@pytest.fixture(params=["cpu", *(pytest.param(kind, marks=pytest.mark.gpu) for kind in GPU_KINDS)])
def engine(request: pytest.FixtureRequest) -> Iterator["object"]:
    """Yield an engine of the test's own on each kind of device; kinds that this machine lacks are skipped."""
    from nautilus_metal.engine import ComputeEngine, available_devices

    kind = request.param
    if not any(name.startswith(kind) for name in available_devices()):
        pytest.skip(f"no {kind} device here; available: {', '.join(available_devices())}")
    with ComputeEngine(kind) as made:
        yield made


@pytest.fixture(autouse=True)
def _empty_shared_pools() -> Iterator[None]:
    """Empty the shared pools after each test, so that none finds another's contents."""
    yield
    shared = sys.modules.get("nautilus_metal.engine.shared")
    for pool in shared.shared_pools() if shared else ():
        pool.clear()
        pool.trim()
