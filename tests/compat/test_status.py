"""Start, status, memory, measurement and placement: what is said is what is so."""

import asyncio
import dataclasses
import logging
import types
from contextlib import suppress

import pytest
import torch

from nautilus_metal import (
    allocate_gpu_tensor,
    calculate_rsi_metal,
    clear_gpu_memory_cache,
    get_acceleration_status,
    get_memory_optimization_recommendations,
    get_memory_pool_stats,
    get_metal_capabilities,
    initialize_metal_acceleration,
    is_m4_max_detected,
    is_metal_available,
    metal_device_manager,
    metal_performance_context,
    optimize_for_matrix_operations,
    optimize_gpu_memory_layout,
)
from nautilus_metal.compat import calculate_correlation_metal, manager, memory, performance, status
from nautilus_metal.compat.manager import placed
from nautilus_metal.engine.governor import room
from nautilus_metal.engine.hardware import Conditions, describe
from nautilus_metal.engine.placement import Placement
from nautilus_metal.engine.placement_measure import SIZES, Calibration
from nautilus_metal.errors import InputError
from nautilus_metal.risk.pricing_work import ALL_WORK


def test_initializing_says_what_is_here(device):
    found = initialize_metal_acceleration(enable_logging=False)
    assert found["success"] is True
    assert found["errors"] == []
    assert found["device"] == device
    assert found["metal_available"] is is_metal_available() is (device == "mps")
    assert found["memory_budget_mb"] == metal_device_manager.engine().pool.budget_bytes / 2**20
    assert found["initialization_time_ms"] > 0


def test_logging_is_switched_on_only_where_asked():
    logger = logging.getLogger("nautilus_metal")
    initialize_metal_acceleration(enable_logging=False)
    assert logger.level == logging.NOTSET
    initialize_metal_acceleration()
    initialize_metal_acceleration()
    assert logger.level == logging.INFO
    assert len(logger.handlers) <= 1


def test_a_device_that_does_not_compute_is_said_so(monkeypatch):
    def broken(self) -> None:
        raise status.DeviceError("it multiplies wrongly")

    monkeypatch.setattr(status.ComputeEngine, "probe", broken)
    found = initialize_metal_acceleration(enable_logging=False)
    assert (found["success"], found["errors"]) == (False, ["it multiplies wrongly"])


@pytest.mark.parametrize(
    ("chip", "wanted"),
    [("Apple M4 Max", True), ("Apple M4 Pro", False), ("Apple M3 Max", False), ("AMD EPYC", False), (None, False)],
)
def test_an_m4_max_is_one_that_says_so(monkeypatch, chip, wanted):
    monkeypatch.setattr(status, "describe", lambda kind: types.SimpleNamespace(chip=chip))
    assert is_m4_max_detected() is wanted


def test_capabilities_are_facts_of_the_device(device):
    found = get_metal_capabilities()
    kind, _, index = device.partition(":")
    here = describe(kind, int(index or 0))
    assert (found["device"], found["chip"], found["memory_bytes"]) == (device, here.chip, here.memory_bytes)
    assert found["supports_float64"] is (kind != "mps")


def test_the_status_is_the_state(prices, device):
    asyncio.run(calculate_rsi_metal(prices))
    with allocate_gpu_tensor((1 << 20,)):
        found = get_acceleration_status()
        pool = metal_device_manager.engine().pool
        assert found["memory_stats"]["active_blocks"] == 1
        used = found["memory_stats"]["utilization_percent"]
        assert used == pytest.approx(100 * pool.reserved_bytes / pool.limit_bytes)
        assert used > 0
    assert found["device"] == device
    assert found["recent_operations"][-1]["name"] == "rsi"
    assert found["config"] == {"memory_fraction": None, "optimization_level": "aggressive", "batch_size": None}


def test_a_context_measures_its_block_with_the_device_idle(prices, monkeypatch, device):
    engine, calls = metal_device_manager.engine(), []
    monkeypatch.setattr(type(engine), "synchronize", lambda self: calls.append(1))
    with metal_performance_context("outer") as outer:
        assert outer.execution_time_ms is None
        asyncio.run(calculate_rsi_metal(prices))
        with metal_performance_context("inner") as inner:
            calculate_correlation_metal(prices.reshape(-1, 4))
    assert [done.name for done in inner.operations] == ["correlation"]
    assert [done.name for done in outer.operations] == ["rsi", "correlation"]
    assert outer.execution_time_ms > inner.execution_time_ms >= inner.operations[0].milliseconds > 0
    assert (outer.name, outer.failed, outer.metal_accelerated) == ("outer", False, device != "cpu")
    assert len(calls) >= 6  # before and after both blocks, after both operations


def test_a_context_sees_memory_and_failures():
    with suppress(KeyError), metal_performance_context("fails") as metrics:
        with allocate_gpu_tensor((1 << 20,)):
            pass
        raise KeyError
    assert metrics.failed is True
    assert metrics.execution_time_ms > 0
    assert metrics.pool_mb_after - metrics.pool_mb_before == pytest.approx(4.0)


def test_a_tensor_is_zeros_or_what_its_key_was_left_with():
    with allocate_gpu_tensor((3, 4)) as tensor:
        assert not tensor.any()
        tensor.fill_(7.0)
    with allocate_gpu_tensor((3, 4), cache_key="k") as tensor:
        assert not tensor.any()
        tensor.fill_(5.0)
    with allocate_gpu_tensor((3, 4), cache_key="k") as again:
        assert (again == 5.0).all()
    assert again.numel() == 0
    assert get_memory_pool_stats().cache_hit_rate > 0
    clear_gpu_memory_cache()
    with allocate_gpu_tensor((3, 4), cache_key="k") as tensor:
        assert not tensor.any()
    with allocate_gpu_tensor(8, torch.int32) as tensor:
        assert tensor.dtype == torch.int32


def test_clearing_names_its_pools(device):
    with allocate_gpu_tensor((1 << 20,), cache_key="mine"):
        pass
    assert clear_gpu_memory_cache(device) == pytest.approx(4.0)
    assert get_memory_pool_stats().total_cached_mb == 0.0
    with pytest.raises(InputError, match=r"`pool_name` must be one of .*, was 'default'"):
        clear_gpu_memory_cache("default")


def test_optimizing_the_layout_drops_reserved_bytes_and_keeps_contents():
    clear_gpu_memory_cache()
    with allocate_gpu_tensor((1 << 20,)), allocate_gpu_tensor((1 << 18,), cache_key="kept"):
        pass
    pool = metal_device_manager.engine().pool
    before = pool.reserved_bytes
    found = optimize_gpu_memory_layout()
    assert before - pool.reserved_bytes == 4 << 20
    assert found["freed_mb"] == pytest.approx(4.0)
    assert found["reserved_mb_after"] == pool.reserved_bytes / 2**20 == found["reserved_mb_before"] - 4.0
    with allocate_gpu_tensor((1 << 18,), cache_key="kept"):
        assert get_memory_pool_stats().allocation_count == pool.stats().allocation_count


def test_advice_follows_the_state(monkeypatch):
    calm = Conditions(thermal=None, memory="normal")
    monkeypatch.setattr(memory, "read_conditions", lambda device: calm)
    clear_gpu_memory_cache()
    optimize_gpu_memory_layout()

    def advice() -> str:
        return "\n".join(get_memory_optimization_recommendations())

    assert "free blocks" not in advice()
    with allocate_gpu_tensor((1 << 20,)):
        pass
    assert "4.0 of 4.0 MB are free blocks: optimize_gpu_memory_layout() gives them back" in advice()
    optimize_gpu_memory_layout()
    assert "free blocks" not in advice()
    total = metal_device_manager.engine().status()["total_mb"] * 2**20
    metal_device_manager.config.memory_fraction = 4.5 * 2**20 / total
    with allocate_gpu_tensor((1 << 20,)):
        assert "pressure is high" in advice() or "pressure is critical" in advice()
    assert "pressure is" not in advice()
    with allocate_gpu_tensor((1 << 20,), cache_key="big"):
        pass
    assert "cached contents take 4.0 of 4.5 MB" in advice()
    clear_gpu_memory_cache()
    with allocate_gpu_tensor((1025,)):
        assert "lost to rounding up sizes" in advice()
    monkeypatch.setattr(memory, "read_conditions", lambda device: Conditions(memory="critical"))
    assert "memory pressure of the whole system is critical" in advice()


GPU = torch.device("cuda", 0)


def gpu() -> types.SimpleNamespace:
    """What placement looks at of an engine on a GPU."""
    return types.SimpleNamespace(device=GPU, dtype=torch.float32, seed=0)


def calibrated(times_faster: float) -> Placement:
    times = {name: {"cpu": [1.0] * len(SIZES), "device": [1.0 / times_faster] * len(SIZES)} for name in ALL_WORK}
    names = [field.name for field in dataclasses.fields(Calibration) if field.name != "times"]
    calibration = Calibration(**dict.fromkeys(names, 1.0), times=times)
    return Placement(types.SimpleNamespace(limit=lambda share: None), calibration)


@pytest.mark.parametrize(
    ("wanted", "faster", "on_gpu"),
    [(0.0, 0.5, True), (1.0, 0.5, False), (1.0, 1.5, True), (2.0, 1.5, False), (2.0, 2.5, True)],
)
def test_a_level_decides_by_what_was_measured(monkeypatch, wanted, faster, on_gpu):
    monkeypatch.setattr(manager, "shared_placement", lambda engine: calibrated(faster))
    assert (placed(gpu(), "series", 10_000, wanted).device == GPU) is on_gpu


def test_levels_and_workloads_say_how_much_faster():
    config = metal_device_manager.config
    assert config.advantage("technical_indicators") == 1.0
    assert optimize_for_matrix_operations()["optimization_level"] == "aggressive"
    assert (config.advantage("matrix_operations"), config.advantage("monte_carlo")) == (0.0, 1.0)
    config.optimization_level = "conservative"
    assert config.advantage("matrix_operations") == 2.0


def test_a_device_that_fails_leaves_the_call_to_the_cpu(caplog):
    class Failing:
        device, dtype, seed = GPU, torch.float32, 0

        def synchronize(self) -> None:
            raise RuntimeError("lost")

    with caplog.at_level(logging.WARNING, logger="nautilus_metal"):
        value, done = metal_device_manager.run("thing", Failing(), lambda engine: engine.device.type)
    assert (value, done.device, done.on_gpu) == ("cpu", "cpu", False)
    assert "thing failed on cuda:0, done on the CPU instead: lost" in caplog.text
    assert performance.recent[-1] == done


def test_the_recommended_batch_fits_and_its_double_would_not():
    engine = metal_device_manager.engine()
    metal_device_manager.config.memory_fraction = 100 * 2**20 / (engine.status()["total_mb"] * 2**20)
    engine = metal_device_manager.engine()
    batch = status.recommended_batch(engine)
    each = 252 * 8 * 4
    assert batch * each <= 0.25 * room(engine) < 2 * batch * each
