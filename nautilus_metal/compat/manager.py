"""Where the function API computes: one manager for the process, and the settings that steer it."""

import logging
import threading
import time
from collections.abc import Callable

import torch

from nautilus_metal.compat import config as settings
from nautilus_metal.compat.config import MetalConfig
from nautilus_metal.compat.performance import Operation, milliseconds_since, note
from nautilus_metal.engine import ComputeEngine, available_devices, shared_engine
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.engine.compute import budget_bytes
from nautilus_metal.engine.devices import KINDS, resolve
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.engine.placement import shared_placement, speedup
from nautilus_metal.errors import InputError

log = logging.getLogger("nautilus_metal.metal_config")
compute_log = logging.getLogger("nautilus_metal.metal_compute")


class MetalDeviceManager:
    """The device of the function API and its settings; nothing is touched before the first call.

    Attributes
    ----------
    config : MetalConfig
        Settings, which take effect with the next call.
    """

    def __init__(self) -> None:
        self.config = MetalConfig()
        self._lock = threading.Lock()
        self._fractions: dict[torch.device, float | None] = {}

    def device(self) -> torch.device:
        """The device that is computed on: the best one here, or the CPU where FORCE_CPU_FALLBACK is set."""
        return resolve("cpu" if settings.forced_to_cpu() else "auto")

    def engine(self, precision: str = "float32", device: str | torch.device | None = None) -> ComputeEngine:
        """The process's engine on the device, its pool within the memory fraction that is set.

        Parameters
        ----------
        precision : {"auto", "float32", "float64"}
            Of Monte Carlo work; float32 where the device has no float64.
        device : str or torch.device, optional
            Another one than the best.

        Raises
        ------
        InputError
            If a setting is not what it must be, or FORCE_CPU_FALLBACK forbids the device.
        """
        settings.follow_debug_switch()
        where = self.device() if device is None else resolve(device)
        if settings.forced_to_cpu() and where.type != "cpu":
            raise InputError(f"`device` must be 'cpu' while {settings.FORCE_CPU} is set, was {str(where)!r}")
        if precision == "float64" and KINDS[where.type].exact_dtype != torch.float64:
            precision = "float32"
        fraction = self.config.memory_fraction
        with self._lock:
            engine = shared_engine(where, precision)
            if fraction != self._fractions.get(where):
                engine.pool.resize(budget_bytes(where, fraction))
                self._fractions[where] = fraction
                log.info("memory budget on %s: %.1f MB", where, engine.pool.budget_bytes / MIB)
            return engine

    def place(self, workload: str, kind: str, elements: int) -> ComputeEngine:
        """Choose where a piece of work goes.

        Parameters
        ----------
        workload : str
            A key of `config.WORKLOADS`, whose settings count.
        kind : str
            What the work is like, a key of `risk.pricing_work.ALL_WORK`.
        elements : int
            Size of its largest tensor.
        """
        engine = self.engine(self.config.workload(workload).precision)
        wanted = self.config.advantage(workload)
        return engine if engine.device.type == "cpu" else placed(engine, kind, elements, wanted)

    def run[T](
        self,
        name: str,
        engine: ComputeEngine,
        work: Callable[[ComputeEngine], T],
        where: Callable[[T], str] | None = None,
    ) -> tuple[T, Operation]:
        """Do a piece of work, on the CPU after all where the device fails, and note what it took.

        Parameters
        ----------
        name : str
            Of the operation.
        engine : ComputeEngine
            Where to.
        work : callable
            ``work(engine)``; must be able to start over.
        where : callable, optional
            Reads from what `work` returned the device that really made it; the engine's where not given.

        Returns
        -------
        tuple
            What `work` returned, and the `Operation`, whose device is the one that did it.
        """
        started = time.perf_counter()
        try:
            value = work(engine)
            engine.synchronize()
        except RuntimeError as error:
            if engine.device.type == "cpu":
                raise
            log.warning("%s failed on %s, done on the CPU instead: %s", name, engine.device, error)
            engine = cpu_of(engine)
            value = work(engine)
        device = str(engine.device) if where is None else where(value)
        done = Operation(name, device, milliseconds_since(started, engine))
        compute_log.info("%s: %.3f ms on %s", name, done.milliseconds, done.device)
        note(done)
        return value, done


def placed(engine: ComputeEngine, kind: str, elements: int, wanted: float) -> ComputeEngine:
    """Return `engine`, or the CPU's where the device is less than `wanted` times faster by what was measured."""
    placement = shared_placement(engine)
    chosen = placement.choose(engine, kind, elements, forced=wanted == 0.0)
    measured = placement.calibration
    if wanted > 1.0 and measured is not None and measured.times and speedup(measured, kind, elements) < wanted:
        return cpu_of(engine)
    return chosen


metal_device_manager = MetalDeviceManager()


def is_metal_available() -> bool:
    """Whether Apple's Metal Performance Shaders are here and allowed; False where FORCE_CPU_FALLBACK is set."""
    return not settings.forced_to_cpu() and "mps" in available_devices()
