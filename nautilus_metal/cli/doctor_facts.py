"""What `nautilus-metal doctor` finds out, as plain values; its keys stay what they are."""

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from nautilus_metal import __version__

SCHEMA = 1  # of the keys
REQUIRED = ("nautilus_trader", "torch", "numpy", "psutil")
EXTRAS = {
    "fast": {"numba": "numba"},
    "examples": {"skfolio": "skfolio", "arch": "arch", "plotly": "plotly", "matplotlib": "matplotlib"},
    "test": {"pytest": "pytest", "hypothesis": "hypothesis", "TA-Lib": "talib", "QuantLib": "QuantLib"},
    "dev": {"ruff": "ruff", "mypy": "mypy", "import-linter": "importlinter"},
}
_MPS_VARIABLES = (
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO",
    "PYTORCH_MPS_LOW_WATERMARK_RATIO",
    "PYTORCH_ENABLE_MPS_FALLBACK",
)

Facts = dict[str, Any]


def collect(device: str = "auto") -> Facts:
    """Find everything out, and measure the device now.

    Parameters
    ----------
    device : str
        What is measured: "auto", "mps", "cuda", "cuda:1" or "cpu".

    Returns
    -------
    dict
        schema; nautilus_metal, python, system (versions); versions (of required packages, None where missing);
        extras (packages that each lacks); devices (best first, each with its hardware facts and `fault`, None where
        it computes); device (the one that is measured); conditions, memory, calibration, placement of that device,
        and fault (why the last two are None); environment (variables that torch reads); missing (what, and how to
        get it). Without torch, what needs it is None. Nothing that was not found out or measured has a figure.

    Raises
    ------
    InputError, DeviceError
        If `device` is no device's name, or is not here.
    """
    facts: Facts = {
        "schema": SCHEMA,
        "nautilus_metal": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: _version(name) for name in REQUIRED},
        "extras": {extra: [name for name in row if find_spec(row[name]) is None] for extra, row in EXTRAS.items()},
    }
    torch_is_here = facts["versions"]["torch"] is not None
    facts |= _device_facts(device) if torch_is_here else dict.fromkeys(_DEVICE_KEYS)
    facts["environment"] = {name: os.environ.get(name) for name in _MPS_VARIABLES}
    facts["missing"] = [{"what": row.what, "get": row.get} for row in _MISSING if row.applies(facts)]
    return facts


_DEVICE_KEYS = ("devices", "device", "conditions", "memory", "calibration", "placement", "fault")


def _device_facts(device: str) -> Facts:
    """What needs torch: hardware, conditions, and what is measured."""
    from nautilus_metal.engine import ComputeEngine, available_devices
    from nautilus_metal.engine.devices import resolve
    from nautilus_metal.engine.hardware import read_conditions
    from nautilus_metal.engine.placement import mode_for

    chosen = resolve(device)
    devices = [_described(name) for name in available_devices()]
    found: Facts = {"devices": devices, "device": str(chosen)}
    with ComputeEngine(chosen) as engine:
        conditions = read_conditions(chosen)
        mode = mode_for(conditions)
        found["conditions"] = asdict(conditions) | {"mode": mode.name, "says": f"{conditions}: {mode.says}"}
        status = engine.status()
        found["memory"] = {name: status[name] for name in ("budget_mb", "total_mb", "allocated_mb")}
        found["fault"] = next(row["fault"] for row in devices if row["device"] == str(chosen))
        return found | _measured(engine, found["fault"])


def _described(name: str) -> Facts:
    """Hardware facts of a device, and whether it computes."""
    from nautilus_metal.engine import ComputeEngine
    from nautilus_metal.engine.hardware import describe

    fault = None
    try:
        with ComputeEngine(name) as engine:
            engine.probe()
            kind, index = engine.device.type, engine.device.index or 0
    except RuntimeError as error:
        fault, (kind, _, number) = str(error), name.partition(":")
        index = int(number or 0)
    return asdict(describe(kind, index)) | {"fault": fault}


def _measured(engine: Any, fault: str | None) -> Facts:
    """Calibration, and where each kind of work goes by it; a device with a fault, known or met here, has neither."""
    from nautilus_metal.engine.placement import crossover
    from nautilus_metal.engine.placement_measure import SIZES
    from nautilus_metal.engine.placement_store import calibrate
    from nautilus_metal.engine.placement_work import WORK

    nothing = {"calibration": None, "placement": None}
    if fault is not None:
        return nothing
    try:
        found = calibrate(engine, WORK, fresh=True)
    except RuntimeError as error:
        return nothing | {"fault": str(error)}
    rows = [
        {"kind": kind, "elements": list(SIZES), **times, "device_from": crossover(found, kind)}
        for kind, times in found.times.items()
    ]
    return {"calibration": asdict(found), "placement": rows}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _kinds(facts: Facts) -> set[str]:
    return {row["device"].partition(":")[0] for row in facts["devices"] or ()}


def _lacks_package(name: str, facts: Facts) -> bool:
    return facts["versions"][name] is None


def _lacks_extra(name: str, facts: Facts) -> bool:
    return bool(facts["extras"][name])


def _unknown(what: str, facts: Facts) -> bool:
    return facts["conditions"] is not None and facts["conditions"][what] is None


def _lacks_cuda(facts: Facts) -> bool:
    return bool(facts["devices"]) and "cuda" not in _kinds(facts) and shutil.which("nvidia-smi") is not None


@dataclass(frozen=True, slots=True)
class _Gap:
    """Something that may be missing, when it is, and how to get it."""

    what: str
    get: str
    applies: Callable[[Facts], bool]


_MISSING: tuple[_Gap, ...] = (
    *(_Gap(name, "pip install nautilus_metal", partial(_lacks_package, name)) for name in REQUIRED),
    *(_Gap(f"the extra {x}", f"pip install 'nautilus_metal[{x}]'", partial(_lacks_extra, x)) for x in EXTRAS),
    _Gap(
        "Apple's GPU",
        "a build of torch for arm64 with MPS, and the macOS that it needs: pip install --upgrade torch",
        lambda facts: platform.system() == "Darwin" and bool(facts["devices"]) and "mps" not in _kinds(facts),
    ),
    _Gap(
        "the NVIDIA GPU that nvidia-smi belongs to",
        "a build of torch with CUDA that the driver supports: see https://pytorch.org/get-started",
        _lacks_cuda,
    ),
    _Gap(
        "nvidia-smi, which says how hot an NVIDIA GPU is",
        "put the driver's tools on the PATH",
        lambda facts: "cuda" in _kinds(facts) and shutil.which("nvidia-smi") is None,
    ),
    _Gap(
        "a sensor of heat",
        "nothing to install: in containers and virtual machines the host keeps its sensors",
        partial(_unknown, "thermal"),
    ),
    _Gap(
        "a sensor of memory pressure",
        "on Linux a kernel with PSI (/proc/pressure/memory)",
        partial(_unknown, "memory"),
    ),
    _Gap(
        "warnings about operators that fall to the CPU",
        "unset PYTORCH_ENABLE_MPS_FALLBACK",
        lambda facts: facts["environment"]["PYTORCH_ENABLE_MPS_FALLBACK"] == "1",
    ),
)
