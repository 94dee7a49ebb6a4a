"""The three variables of the environment, each in a process of its own, and lazy imports."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nautilus_metal import allocate_gpu_tensor, metal_device_manager
from nautilus_metal.compat import manager
from nautilus_metal.errors import InputError, OutOfDeviceMemory
from tests.test_package import NO_DEVICE

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import asyncio
import numpy as np
import nautilus_metal as m

prices = 100 + np.random.default_rng(0).normal(size=300).cumsum()
terms = dict(spot_price=100.0, strike_price=105.0, time_to_expiry=0.5, risk_free_rate=0.03, volatility=0.25,
             num_simulations=1000)
results = [
    asyncio.run(m.price_option_metal(**terms)),
    asyncio.run(m.calculate_rsi_metal(prices)),
    asyncio.run(m.calculate_macd_metal(prices)),
    asyncio.run(m.calculate_bollinger_bands_metal(prices)),
    asyncio.run(m.metal_monte_carlo.simulate_price_paths_gpu(100.0, 0.2, 0.05, 1.0, num_simulations=1000)),
    asyncio.run(m.metal_monte_carlo.price_option(**terms)),
    m.calculate_correlation_metal(np.random.default_rng(0).normal(size=(50, 3))),
    m.calculate_var_metal(np.random.default_rng(0).normal(size=(50, 3)), num_simulations=1000),
    m.optimize_portfolio_metal(None, np.random.default_rng(0).normal(size=(50, 3)), objective="minimum_cvar"),
]
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env={**os.environ, **environment},
    )


def test_forced_to_the_cpu_no_device_is_asked_anything():
    code = NO_DEVICE + RUN + (
        "import torch\n"
        "assert not any(result.metal_accelerated for result in results)\n"
        "assert {result.device for result in results} == {'cpu'}\n"
        "status = m.initialize_metal_acceleration(enable_logging=False)\n"
        "assert status['forced_cpu'] and not status['metal_available'] and status['device'] == 'cpu'\n"
        "assert m.get_acceleration_status()['forced_cpu'] and m.get_metal_capabilities()['device'] == 'cpu'\n"
        "with m.allocate_gpu_tensor((4, 4)) as tensor, m.metal_performance_context('x'):\n"
        "    assert tensor.device.type == 'cpu'\n"
        "m.get_memory_pool_stats(), m.clear_gpu_memory_cache(), m.optimize_gpu_memory_layout()\n"
        "network = m.create_financial_lstm(hidden_size=4)\n"
        "assert m.create_metal_model_wrapper(network)(torch.zeros(2, 3, 5)).shape == (2, 1)\n"
        "assert m.create_metal_training_manager(network).engine.device.type == 'cpu'\n"
        "m.get_memory_optimization_recommendations(), m.is_m4_max_detected(), m.optimize_for_monte_carlo()\n"
        "print('done')\n"
    )
    done = python(code, FORCE_CPU_FALLBACK="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert not done.stderr


def test_without_the_variable_the_device_is_asked():
    code = NO_DEVICE + "import nautilus_metal as m\nm.initialize_metal_acceleration()\n"
    done = python(code, FORCE_CPU_FALLBACK="0")
    assert "a device was touched" in done.stderr


def test_forced_to_the_cpu_another_device_is_refused(monkeypatch):
    monkeypatch.setenv("FORCE_CPU_FALLBACK", "1")
    assert metal_device_manager.device().type == "cpu"
    monkeypatch.setattr(manager, "resolve", lambda name: torch.device("cuda", 0))
    with pytest.raises(InputError, match="`device` must be 'cpu' while FORCE_CPU_FALLBACK is set, was 'cuda:0'"):
        metal_device_manager.engine(device="cuda")


def test_an_allocation_over_the_memory_fraction_is_refused(monkeypatch):
    total = metal_device_manager.engine().status()["total_mb"] * 2**20
    with allocate_gpu_tensor((1 << 20,)):
        pass
    monkeypatch.setenv("METAL_MEMORY_FRACTION", f"{(1 << 20) / total:.12f}")
    with allocate_gpu_tensor((1 << 17,)) as tensor:
        assert tensor.shape == (1 << 17,)
    with pytest.raises(OutOfDeviceMemory, match=r"4\.0 MB requested"), allocate_gpu_tensor((1 << 20,)):
        pass
    metal_device_manager.config.memory_fraction = 8 * (1 << 20) / total  # what is set in code comes first
    with allocate_gpu_tensor((1 << 20,)):
        pass
    metal_device_manager.config.memory_fraction = None
    monkeypatch.delenv("METAL_MEMORY_FRACTION")
    with allocate_gpu_tensor((1 << 22,)):
        pass


@pytest.mark.parametrize("value", ["0", "1.5", "-1", "much", "nan"])
def test_a_wrong_memory_fraction_is_refused_by_name(monkeypatch, value):
    monkeypatch.setenv("METAL_MEMORY_FRACTION", value)
    with pytest.raises(InputError, match="`METAL_MEMORY_FRACTION` must be above 0 and at most 1"):
        metal_device_manager.engine()


@pytest.mark.parametrize("name", ["FORCE_CPU_FALLBACK", "METAL_ACCELERATION_DEBUG"])
def test_a_wrong_switch_is_refused_by_name(monkeypatch, name):
    monkeypatch.setenv(name, "perhaps")
    with pytest.raises(InputError, match=f"`{name}` must be 1 or 0, was 'perhaps'"):
        metal_device_manager.engine()


def test_debugging_shows_what_ran():
    code = "import asyncio, nautilus_metal as m\nprices = [100.0 + i % 7 for i in range(300)]\n"
    done = python(code + "asyncio.run(m.calculate_rsi_metal(prices))", METAL_ACCELERATION_DEBUG="1")
    assert done.returncode == 0, done.stderr
    assert "nautilus_metal.metal_compute INFO rsi: " in done.stderr


@pytest.mark.parametrize(("value", "level"), [("1", logging.DEBUG), ("0", logging.NOTSET), ("", logging.NOTSET)])
def test_debugging_is_off_unless_it_is_asked_for(monkeypatch, value, level):
    monkeypatch.setenv("METAL_ACCELERATION_DEBUG", value)
    metal_device_manager.engine()
    assert logging.getLogger("nautilus_metal").level == level


def test_importing_touches_no_device_starts_no_thread_and_needs_no_host():
    done = python(
        NO_DEVICE + "import os, sys, threading\n"
        "def tasks():\n"
        "    return len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else 0\n"
        "before = tasks(), threading.active_count()\n"
        "import nautilus_metal.metal_config, nautilus_metal as m\n"
        "m.price_option_metal, m.metal_device_manager, m.metal_monte_carlo\n"
        "assert (tasks(), threading.active_count()) == before\n"
        "assert not any(name.partition('.')[0] == 'nautilus_trader' for name in sys.modules)\n"
    )
    assert done.returncode == 0, done.stderr
