"""Start, hardware, status and settings of the function API."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from nautilus_metal import __version__
from nautilus_metal.compat import config as settings
from nautilus_metal.compat.manager import is_metal_available, log, metal_device_manager
from nautilus_metal.compat.performance import PerformanceMetrics, measured, recent
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.fused_histories import prepare_loops
from nautilus_metal.engine.governor import room
from nautilus_metal.engine.hardware import describe, read_conditions
from nautilus_metal.engine.placement import mode_for
from nautilus_metal.errors import DeviceError

_STEPS = 252  # of a path that a recommended batch must have room for
_TENSORS = 8  # of that size
_SHARE = 0.25  # of the free memory that one batch may take
_MOST = 1 << 20  # beyond that a batch gains nothing


def initialize_metal_acceleration(enable_logging: bool = True) -> dict[str, Any]:
    """Make the device ready and check that it computes; compile what histories on the CPU are faster by.

    To be called before an event loop runs: what takes long the first time, up to seconds, is then done. The
    coroutines work without it, but on a GPU the first of them would hold its loop up while the device starts, and
    the compiled loops of the extra `fast` (see `engine.fused_histories`) would not be used.

    Parameters
    ----------
    enable_logging : bool
        Whether the package's messages from INFO on are shown.

    Returns
    -------
    dict
        success, metal_available, m4_max_detected, device, device_name, memory_budget_mb, forced_cpu, package_version,
        initialization_time_ms, and errors (why the device does not work; empty where it does).
    """
    if enable_logging:
        settings.show_messages(logging.INFO)
    started = time.perf_counter()
    engine = metal_device_manager.engine()
    errors = []
    try:
        engine.probe()
    except DeviceError as error:
        errors.append(str(error))
        log.error("%s", error)
    prepare_loops()
    status = engine.status()
    log.info("computing on %s (%s)", status["device_name"], status["device"])
    return {
        "success": not errors,
        "metal_available": is_metal_available(),
        "m4_max_detected": is_m4_max_detected(),
        "device": status["device"],
        "device_name": status["device_name"],
        "memory_budget_mb": status["budget_mb"],
        "forced_cpu": settings.forced_to_cpu(),
        "package_version": __version__,
        "initialization_time_ms": (time.perf_counter() - started) * 1e3,
        "errors": errors,
    }


def is_m4_max_detected() -> bool:
    """Whether the chip names itself an Apple M4 Max."""
    return (describe("cpu").chip or "").startswith("Apple M4 Max")


def get_metal_capabilities() -> dict[str, Any]:
    """Hardware facts of the device that is computed on; None is unknown, no figure is assumed.

    Returns
    -------
    dict
        metal_available; device, chip, gpu_cores, cpu_cores, memory_bytes, recommended_bytes, bandwidth (GB/s, as
        published), bandwidth_source, system, driver; exact_precision and supports_float64.
    """
    engine = metal_device_manager.engine()
    exact = str(engine.exact_dtype).removeprefix("torch.")
    return {
        "metal_available": is_metal_available(),
        **asdict(describe(engine.device.type, engine.device.index or 0)),
        "exact_precision": exact,
        "supports_float64": exact == "float64",
    }


def get_acceleration_status() -> dict[str, Any]:
    """State of device, memory, surroundings and settings, and the operations that ran last.

    Returns
    -------
    dict
        metal_available, m4_max_detected, forced_cpu, device, device_name, torch, health; memory_stats (fields
        of `MemoryPoolStats`, budget_mb, total_mb of the device, and utilization_percent: what the pool holds over
        what it may hold); conditions (thermal, memory, mode); config; recent_operations (name, device,
        milliseconds), oldest first.
    """
    engine = metal_device_manager.engine()
    found, pool, config = engine.status(), engine.pool, metal_device_manager.config
    conditions = read_conditions(engine.device)
    memory = found["pool"] | {
        "budget_mb": found["budget_mb"],
        "total_mb": found["total_mb"],
        "utilization_percent": 100.0 * pool.reserved_bytes / pool.limit_bytes,
    }
    return {
        "metal_available": is_metal_available(),
        "m4_max_detected": is_m4_max_detected(),
        "forced_cpu": settings.forced_to_cpu(),
        **{name: found[name] for name in ("device", "device_name", "torch", "health")},
        "memory_stats": memory,
        "conditions": asdict(conditions) | {"mode": mode_for(conditions).name},
        "config": {
            name: getattr(config, name) for name in ("memory_fraction", "optimization_level", "batch_size")
        },
        "recent_operations": [asdict(done) for done in recent],
    }


def optimize_for_financial_computing() -> dict[str, Any]:
    """Compute in float64 where the device has it, on whichever is measured to be faster; see `optimize_for`."""
    return optimize_for("financial_computing")


def optimize_for_monte_carlo() -> dict[str, Any]:
    """Draw paths by a scrambled Sobol sequence, in float32, on the device; see `optimize_for`."""
    return optimize_for("monte_carlo")


def optimize_for_matrix_operations() -> dict[str, Any]:
    """Compute correlations in float32 on the device; see `optimize_for`."""
    return optimize_for("matrix_operations")


def optimize_for_technical_indicators() -> dict[str, Any]:
    """Compute indicators in float32, where that is measured to be faster; see `optimize_for`.

    An RSI is then within 5e-3 (of 100), a MACD and a band within 1e-3 of the scale of the moves, over 3,000 bars.
    """
    return optimize_for("technical_indicators")


def optimize_for(name: str) -> dict[str, Any]:
    """Switch on a workload's settings for the calls that follow.

    Parameters
    ----------
    name : str
        A key of `config.WORKLOADS`; "financial_computing" counts for every kind of work that has no settings of its
        own.

    Returns
    -------
    dict
        workload, device, and what counts from now on: precision ("float64", "float32"), sampler, optimization_level;
        use_fp16 (always False: nothing here computes in half precision); batch_size_recommendation, the paths of 252
        steps that a quarter of the free memory holds, a power of two up to 2^20: what to set
        `metal_device_manager.config.batch_size` to.
    """
    config = metal_device_manager.config
    applied = config.apply(name)
    engine = metal_device_manager.engine(applied.precision)
    return {
        "workload": name,
        "device": str(engine.device),
        "precision": str(engine.dtype).removeprefix("torch."),
        "sampler": applied.sampler,
        "optimization_level": config.optimization_level or applied.level,
        "use_fp16": False,
        "batch_size_recommendation": recommended_batch(engine),
    }


def recommended_batch(engine: ComputeEngine) -> int:
    """Paths of 252 steps that a quarter of the free memory holds, a power of two from 1 to 2^20."""
    each = _STEPS * _TENSORS * engine.dtype.itemsize
    fitting = max(1, int(_SHARE * room(engine)) // each)
    return int(min(_MOST, 1 << (fitting.bit_length() - 1)))


@contextmanager
def metal_performance_context(name: str) -> Iterator[PerformanceMetrics]:
    """Measure a block: wall time with the device synchronised before and after, memory, and what ran in it.

    Parameters
    ----------
    name : str
        Of the block.

    Yields
    ------
    PerformanceMetrics
        Its figures are there once the block has ended.
    """
    with measured(name, metal_device_manager.engine()) as metrics:
        yield metrics
    log.info("%s: %.3f ms on %s", name, metrics.execution_time_ms, metrics.device)
