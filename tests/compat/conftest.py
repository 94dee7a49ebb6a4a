"""Settings of the function API start afresh for each test; real prices for all."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from nautilus_metal.compat import metal_device_manager


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting and no variable of the machine reaches a test, nor one test's the next."""
    for name in ("METAL_ACCELERATION_DEBUG", "METAL_MEMORY_FRACTION", "FORCE_CPU_FALLBACK"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("nautilus_metal")
    level, handlers = logger.level, list(logger.handlers)
    metal_device_manager.config.reset()
    yield
    monkeypatch.undo()
    metal_device_manager.config.reset()
    metal_device_manager.engine()  # gives the pool its usual budget back
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def prices() -> np.ndarray:
    """10,000 prices of a random walk."""
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, 0.01, 10_000)))


@pytest.fixture
def device() -> str:
    """The device that the functions compute on here, small work as well."""
    metal_device_manager.config.optimization_level = "aggressive"
    return str(metal_device_manager.device())


@pytest.fixture
def exact(device: str) -> bool:
    """Whether that device has float64."""
    return metal_device_manager.engine().exact_dtype.itemsize == 8
