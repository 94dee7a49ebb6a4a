"""Heat and memory pressure of this machine, from what its own sensors say; "unknown" is None."""

import ctypes
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from nautilus_metal.engine.hardware import ask

Thermal = Literal["nominal", "fair", "serious", "critical"]
Pressure = Literal["normal", "warning", "critical"]

THERMAL: tuple[Thermal, ...] = ("nominal", "fair", "serious", "critical")
PRESSURE: tuple[Pressure, ...] = ("normal", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Heat and memory pressure at one moment.

    Attributes
    ----------
    thermal : {"nominal", "fair", "serious", "critical"} or None
        The worst that any sensor says, in Apple's words: from "serious" on the chip is slowed down. None is unknown.
    memory : {"normal", "warning", "critical"} or None
        Memory pressure of the whole system: from "warning" on it frees or swaps memory. None is unknown.
    sensors : tuple of str
        Those that answered.
    """

    thermal: Thermal | None = None
    memory: Pressure | None = None
    sensors: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"heat {self.thermal or 'unknown'}, memory pressure {self.memory or 'unknown'}"


# libkern/OSThermalNotification.h on macOS: nominal, moderate, heavy, trapping, sleeping.
_NOTIFYD: dict[int, Thermal] = {0: "nominal", 1: "fair", 2: "serious", 3: "critical", 4: "critical"}
# sys/kern_memorystatus_notify.h: NORMAL, WARN, CRITICAL.
_VM_LEVEL: dict[str, Pressure] = {"1": "normal", "2": "warning", "4": "critical"}
# nvml.h, NvmlClocksEventReasons: clocks are lowered because of heat by the driver, or by the hardware itself.
_SW_THERMAL_SLOWDOWN, _HW_THERMAL_SLOWDOWN = 0x20, 0x40
# Share of the last 10 s, in percent, in which some or all tasks waited for memory (PSI, Linux).
_SOME_WAIT, _ALL_WAIT = 10.0, 20.0
_TRIPS: tuple[tuple[str, Thermal], ...] = (("critical", "critical"), ("hot", "critical"), ("passive", "serious"))


def parse_thermal_pressure(state: int | None) -> Thermal | None:
    """Name the state of macOS's ``com.apple.system.thermalpressurelevel``."""
    return None if state is None else _NOTIFYD.get(state)


def parse_pmset(text: str | None) -> Thermal | None:
    """Read ``pmset -g therm``: limits below 100% mean that the chip is slowed down; nothing printed means nothing."""
    limits = [int(value) for value in re.findall(r"_Limit\s*=\s*(\d+)", text or "")]
    if limits:
        return "nominal" if min(limits) >= 100 else "serious"
    return "nominal" if "No thermal warning level has been recorded" in (text or "") else None


def parse_vm_pressure(text: str | None) -> Pressure | None:
    """Read ``sysctl -n kern.memorystatus_vm_pressure_level``.

    Examples
    --------
    >>> parse_vm_pressure("4"), parse_vm_pressure("")
    ('critical', None)
    """
    return _VM_LEVEL.get((text or "").strip())


def parse_psi(text: str | None) -> Pressure | None:
    """Read ``/proc/pressure/memory``.

    Examples
    --------
    >>> parse_psi("some avg10=31.50 avg60=9.10 avg300=2.0 total=1\\nfull avg10=3.00 avg60=1.0 avg300=0.2 total=1")
    'warning'
    """
    found = re.findall(r"^(some|full) avg10=([\d.]+)", text or "", re.MULTILINE)
    waits = {kind: float(share) for kind, share in found}
    if "some" not in waits:
        return None
    if waits.get("full", 0.0) >= _ALL_WAIT:
        return "critical"
    return "warning" if waits["some"] >= _SOME_WAIT else "normal"


def parse_zone(files: Mapping[str, str]) -> Thermal | None:
    """Read one Linux thermal zone.

    Parameters
    ----------
    files : mapping of str to str
        Contents by name of ``/sys/class/thermal/thermal_zone*``: "temp", "trip_point_0_type", "trip_point_0_temp".

    Returns
    -------
    str or None
        By the highest trip point that the temperature has reached: "serious" from "passive" (the system slows down),
        "critical" from "hot" or "critical". None for a zone without such points.
    """
    try:
        temperature = int(files["temp"])
        points = {
            text.strip(): int(files[name.removesuffix("type") + "temp"])
            for name, text in files.items()
            if re.fullmatch(r"trip_point_\d+_type", name)
        }
    except (KeyError, ValueError):
        return None
    levels = [(points[kind], level) for kind, level in _TRIPS if points.get(kind, 0) > 0]
    if not levels:
        return None
    return next((level for limit, level in levels if temperature >= limit), "nominal")


def parse_clock_reasons(text: str | None) -> Thermal | None:
    """Read ``nvidia-smi --query-gpu=clocks_throttle_reasons.active --format=csv,noheader``: a mask of bits.

    Examples
    --------
    >>> parse_clock_reasons("0x0000000000000001"), parse_clock_reasons("0x0000000000000060")
    ('nominal', 'critical')
    """
    found = re.fullmatch(r"0x[0-9a-fA-F]+", (text or "").strip())
    if found is None:
        return None
    mask = int(found[0], 16)
    if mask & _HW_THERMAL_SLOWDOWN:
        return "critical"
    return "serious" if mask & _SW_THERMAL_SLOWDOWN else "nominal"


def _notifyd(_: torch.device) -> Thermal | None:
    """Ask macOS's notification server for the thermal pressure."""
    try:
        system = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
        token, state = ctypes.c_int(), ctypes.c_uint64()
        if system.notify_register_check(b"com.apple.system.thermalpressurelevel", ctypes.byref(token)):
            return None
        failed = system.notify_get_state(token, ctypes.byref(state))
        system.notify_cancel(token)
    except (OSError, AttributeError):
        return None
    return None if failed else parse_thermal_pressure(state.value)


def _pmset(_: torch.device) -> Thermal | None:
    return parse_pmset(ask.run("/usr/bin/pmset", "-g", "therm"))


def _vm_pressure(_: torch.device) -> Pressure | None:
    return parse_vm_pressure(ask.run("/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level"))


def _psi(_: torch.device) -> Pressure | None:
    return parse_psi(ask.read("/proc/pressure/memory"))


def _zones(_: torch.device) -> Thermal | None:
    found = []
    for folder in Path("/sys/class/thermal").glob("thermal_zone*"):
        files = {path.name: ask.read(path) for path in (folder / "temp", *folder.glob("trip_point_*"))}
        found.append(parse_zone({name: text for name, text in files.items() if text is not None}))
    return worst(found, THERMAL)


def _nvidia(device: torch.device) -> Thermal | None:
    if shutil.which("nvidia-smi") is None:
        return None
    bus = _pci_bus(device)
    which = ("-i", bus) if bus else ()
    query = ("--query-gpu=clocks_throttle_reasons.active", "--format=csv,noheader")
    return parse_clock_reasons(ask.run("nvidia-smi", *query, *which))


def _pci_bus(device: torch.device) -> str | None:
    """Address of the GPU on the bus: nvidia-smi's own numbers do not follow CUDA_VISIBLE_DEVICES."""
    try:
        found: Any = torch.cuda.get_device_properties(device)
        return f"{found.pci_domain_id:08X}:{found.pci_bus_id:02X}:{found.pci_device_id:02X}.0"
    except (RuntimeError, AssertionError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class Sensor:
    """A row of `SENSORS`: where it exists, what it measures, and how to ask it; None is unknown."""

    name: str
    system: str
    kinds: tuple[str, ...]
    measures: Literal["thermal", "memory"]
    ask: Callable[[torch.device], str | None]


_ANY = ("mps", "cuda", "cpu")
SENSORS: tuple[Sensor, ...] = (
    Sensor("notifyd", "Darwin", _ANY, "thermal", _notifyd),
    Sensor("pmset", "Darwin", _ANY, "thermal", _pmset),
    Sensor("vm_pressure_level", "Darwin", _ANY, "memory", _vm_pressure),
    Sensor("thermal_zone", "Linux", _ANY, "thermal", _zones),
    Sensor("psi", "Linux", _ANY, "memory", _psi),
    Sensor("nvidia-smi", "Linux", ("cuda",), "thermal", _nvidia),
    Sensor("nvidia-smi", "Windows", ("cuda",), "thermal", _nvidia),
)


def read_conditions(device: torch.device) -> Conditions:
    """Ask every sensor that matters for a device; takes some 20 ms where commands have to run, at most seconds.

    Parameters
    ----------
    device : torch.device
        The device whose surroundings are asked for.

    Returns
    -------
    Conditions
        The worst of each kind; never raises.
    """
    found: dict[str, list[str | None]] = {"thermal": [], "memory": []}
    answered = []
    for sensor in SENSORS:
        if sensor.system == platform.system() and device.type in sensor.kinds:
            level = _answer(sensor, device)
            found[sensor.measures].append(level)
            answered += [sensor.name] if level else []
    return Conditions(worst(found["thermal"], THERMAL), worst(found["memory"], PRESSURE), tuple(answered))


def _answer(sensor: Sensor, device: torch.device) -> str | None:
    try:
        return sensor.ask(device)
    except Exception:  # whatever a sensor meets, it is then unknown
        return None


def worst[T](levels: Iterable[Any], order: tuple[T, ...]) -> T | None:
    """The level that stands last in `order`; None where none is known.

    Examples
    --------
    >>> worst(["fair", None, "nominal"], THERMAL)
    'fair'
    """
    return max((level for level in levels if level is not None), key=order.index, default=None)
