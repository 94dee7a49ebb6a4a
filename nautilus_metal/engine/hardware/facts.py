"""Facts about a device that do not change while the process runs."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import psutil
import torch

from nautilus_metal.engine.hardware import ask
from nautilus_metal.engine.hardware.chips import find_chip
from nautilus_metal.engine.hardware.parsers import (
    SYSCTL_KEYS,
    Accelerator,
    core_levels,
    parse_cpuinfo,
    parse_displays,
    parse_driver,
    parse_ioreg,
    parse_meminfo,
    parse_sysctl,
    whole,
)

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_FROM_DRIVER = "driver: twice the memory clock times the bus width"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What is known about a device; None is what the machine does not say.

    Attributes
    ----------
    device : str
        "mps", "cuda:0", "cpu".
    chip : str or None
        The name that the chip gives itself, for example "Apple M4 Max".
    gpu_cores : int or None
        Apple's GPU cores, NVIDIA's multiprocessors.
    cpu_cores : tuple of (str, int)
        Kinds of CPU cores with their number, fastest first; empty for an NVIDIA GPU.
    memory_bytes : int or None
        Of the device; on Apple's chips the RAM that CPU and GPU share. A container's limit counts.
    recommended_bytes : int or None
        Most that the GPU's driver recommends to use (Metal's recommendedMaxWorkingSetSize).
    bandwidth : float or None
        Published memory bandwidth in GB/s (1e9 bytes); what `doctor` measures is another figure.
    bandwidth_source : str or None
        Who published it.
    system : str
        Operating system and version, for example "macOS 26.1".
    driver : str or None
        Version of NVIDIA's driver.
    """

    device: str
    chip: str | None
    gpu_cores: int | None
    cpu_cores: tuple[tuple[str, int], ...]
    memory_bytes: int | None
    recommended_bytes: int | None
    bandwidth: float | None
    bandwidth_source: str | None
    system: str
    driver: str | None


@cache
def describe(kind: str, index: int = 0) -> Hardware:
    """Ask the machine about a device, once a process.

    Parameters
    ----------
    kind : {"mps", "cuda", "cpu"}
        Kind of the device, which must be here.
    index : int
        Which of several.

    Returns
    -------
    Hardware
        What could be found out; never raises for what could not.
    """
    return _PROBES[kind](index)


def system_name() -> str:
    """Operating system and version; on a Mac that of macOS, not of its kernel.

    Examples
    --------
    >>> isinstance(system_name(), str)
    True
    """
    mac = platform.mac_ver()[0]
    return f"macOS {mac}" if mac else f"{platform.system()} {platform.release()}"


def _mac(command: Callable[..., str | None]) -> tuple[dict[str, str], Accelerator]:
    """What macOS knows about an Apple chip; empty elsewhere."""
    if platform.system() != "Darwin":
        return {}, Accelerator(None, None)
    values = parse_sysctl(command("/usr/sbin/sysctl", "-i", *SYSCTL_KEYS))
    gpu = parse_ioreg(command("/usr/sbin/ioreg", "-rc", "AGXAccelerator", "-d1"))
    if gpu.cores is None:  # slower, and says the same
        gpu = parse_displays(command("/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"))
    return values, gpu


def _apple(device: str, values: dict[str, str], gpu: Accelerator, recommended: int | None) -> Hardware:
    """Put together what an Apple chip says of itself."""
    name = values.get("machdep.cpu.brand_string") or gpu.model
    row = find_chip(name, gpu.cores)
    return Hardware(
        device=device,
        chip=name,
        gpu_cores=gpu.cores,
        cpu_cores=core_levels(values),
        memory_bytes=whole(values.get("hw.memsize")) or main_memory(),
        recommended_bytes=recommended,
        bandwidth=row.bandwidth if row else None,
        bandwidth_source=row.source if row else None,
        system=system_name(),
        driver=None,
    )


def _mps(_: int) -> Hardware:
    values, gpu = _mac(ask.run)
    return _apple("mps", values, gpu, _quiet(lambda: int(torch.mps.recommended_max_memory())))


def _cpu(_: int) -> Hardware:
    values, gpu = _mac(ask.run)
    if values:
        return _apple("cpu", values, gpu, None)
    cores = _quiet(lambda: psutil.cpu_count(logical=False)) or os.cpu_count()
    return Hardware(
        device="cpu",
        chip=parse_cpuinfo(ask.read("/proc/cpuinfo")) or platform.processor() or platform.machine() or None,
        gpu_cores=None,
        cpu_cores=(("core", cores),) if cores else (),
        memory_bytes=main_memory(),
        recommended_bytes=None,
        bandwidth=None,
        bandwidth_source=None,
        system=system_name(),
        driver=None,
    )


def _cuda(index: int) -> Hardware:
    found: Any = _quiet(lambda: torch.cuda.get_device_properties(index))
    clock, width = getattr(found, "memory_clock_rate", 0), getattr(found, "memory_bus_width", 0)
    bandwidth = driver_bandwidth(clock, width)
    return Hardware(
        device=f"cuda:{index}",
        chip=getattr(found, "name", None),
        gpu_cores=getattr(found, "multi_processor_count", None),
        cpu_cores=(),
        memory_bytes=getattr(found, "total_memory", None),
        recommended_bytes=None,
        bandwidth=bandwidth,
        bandwidth_source=_FROM_DRIVER if bandwidth else None,
        system=system_name(),
        driver=parse_driver(ask.run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")),
    )


def driver_bandwidth(clock_khz: int, bus_bits: int) -> float | None:
    """Memory bandwidth in GB/s of a GPU with memory of double data rate; None where the driver gives no figures.

    Examples
    --------
    H100 SXM, published as 3.35 TB/s:

    >>> round(driver_bandwidth(2_619_000, 5120))
    3352
    >>> driver_bandwidth(0, 5120) is None
    True
    """
    return 2.0 * clock_khz * 1e3 * bus_bits / 8.0 / 1e9 if clock_khz and bus_bits else None


def main_memory() -> int | None:
    """Bytes of RAM that this process may use: the machine's, or its container's limit where that is smaller."""
    total = parse_meminfo(ask.read("/proc/meminfo"))
    if total is None:
        total = _quiet(lambda: int(psutil.virtual_memory().total))
    limits = [whole(ask.read(path)) for path in _CGROUP_LIMITS]
    known = [value for value in (total, *limits) if value]
    return min(known) if known else None


def _quiet[T](call: Callable[[], T]) -> T | None:
    """Answer of a call; None where it raises, since a probe never does."""
    try:
        return call()
    except Exception:
        return None


_PROBES: dict[str, Callable[[int], Hardware]] = {"mps": _mps, "cuda": _cuda, "cpu": _cpu}
