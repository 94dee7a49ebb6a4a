"""A simulated "mps" device for PyTorch on Linux; README.md says what it shows and what it cannot.

Tensors live in host memory and CPU kernels compute, but operators, dtypes, device mixing and memory are policed as
PyTorch's Metal backend does it.
"""

import atexit
import ctypes
import json
import sys
import threading
import time
import warnings as _python_warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "allocated_bytes",
    "install",
    "is_installed",
    "missing_ops",
    "op_counts",
    "peak_bytes",
    "reset",
    "sync_count",
    "table_versions",
    "upload_count",
    "warnings",
]

TABLE = Path(__file__).resolve().parent.parent / "mps_registrations.json"
RECOMMENDED_BYTES = 12 * 2**30  # what torch.mps.recommended_max_memory() answers where no limit is given
MODES = {"record": 0, "error": 1, "fallback": 2}
NATIVE, BUILTIN_FALLBACK, MISSING = range(3)
# Up to torch 2.13 the macOS build has its own version of the first; here PyTorch splits it into the others.
SPLIT = {"linalg_svd": ["_linalg_svd", "_linalg_svd.U"]}

_library: Any = None


def install(
    version: str | None = None,
    mode: str = "error",
    memory_limit_bytes: int | None = None,
    max_buffer_bytes: int | None = None,
) -> None:
    """Make the device "mps" usable in this process, or change its settings; there is no way back.

    Parameters
    ----------
    version : str, optional
        The torch version whose MPS operators count as present; the installed one by default.
    mode : {"error", "record", "fallback"}
        What happens if an operator has no MPS kernel: NotImplementedError as on macOS; it runs and is listed in
        `missing_ops`; it runs with the warning of PYTORCH_ENABLE_MPS_FALLBACK=1.
    memory_limit_bytes : int, optional
        More than this raises the out-of-memory RuntimeError; also what `torch.mps.recommended_max_memory` answers.
    max_buffer_bytes : int, optional
        A single larger tensor raises "Invalid buffer size".
    """
    global _library
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    if sys.platform == "darwin":
        raise RuntimeError("mps_sim simulates a device that macOS has: use the real one")
    import torch

    table = _table(version, torch.__version__)
    if _library is None:
        if torch.cuda.is_initialized():
            raise RuntimeError("mps_sim must be installed before CUDA is used")
        from . import _build

        _library = _load(_build.library())
        _library.mps_sim_start()
        _patch(torch)
        atexit.register(_wait_for_autograd)
    native = [part for name in table["native"] for part in (name, *SPLIT.get(name, ()))]
    _library.mps_sim_configure(
        " ".join(native).encode(),
        " ".join(table["cpu_fallback"]).encode(),
        MODES[mode],
        memory_limit_bytes or 0,
        max_buffer_bytes or 0,
        memory_limit_bytes or RECOMMENDED_BYTES,
    )


def is_installed() -> bool:
    """Tell whether `install` was called in this process."""
    return _library is not None


def reset() -> None:
    """Forget the operators, warnings and synchronisations seen so far; the peak falls to the present use."""
    _installed().mps_sim_reset()


def missing_ops() -> dict[str, int]:
    """Operators without an MPS kernel and how often they were called, those that raised included."""
    return {name: calls for name, support, calls, _ in _operators() if support == MISSING}


def op_counts() -> dict[str, int]:
    """Every operator that ran, not counting those that only make a view, and how often."""
    return {name: calls for name, _, calls, _ in _operators()}


def warnings() -> dict[str, int]:
    """What works on macOS but is likely not meant, as messages with their number."""
    found = {}
    for name, support, calls, float64_scalars in _operators():
        if support == BUILTIN_FALLBACK:
            found[f"{name}: has no Metal kernel, PyTorch runs it on the CPU"] = calls
        if float64_scalars:
            found[f"{name}: a float64 CPU scalar tensor meets MPS tensors"] = float64_scalars
    return found


def sync_count() -> int:
    """How often the host would have waited for the GPU.

    item(), blocking copies between CPU and MPS, shapes that depend on data (nonzero, masked_select, unique), equal,
    and explicit synchronisation.
    """
    return _installed().mps_sim_sync_points()


def upload_count() -> int:
    """How many of `sync_count` were blocking copies to the device, which wait for no result of a kernel."""
    return _installed().mps_sim_uploads()


def allocated_bytes() -> int:
    """Bytes that MPS tensors hold now."""
    return _installed().mps_sim_allocated_bytes()


def peak_bytes() -> int:
    """The most bytes that MPS tensors held at once since `reset`, without scratch memory inside a kernel."""
    return _installed().mps_sim_peak_bytes()


def table_versions() -> list[str]:
    """The torch versions that `install` knows, oldest first."""
    return sorted(_tables(), key=_numbers)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("+")[0].split(".") if part.isdigit()]


@cache
def _tables() -> dict[str, dict[str, list[str]]]:
    return json.loads(TABLE.read_text())


def _table(version: str | None, installed: str) -> dict[str, list[str]]:
    tables = _tables()
    wanted = version or installed.split("+")[0]
    if wanted in tables:
        return tables[wanted]
    known = sorted(tables, key=_numbers)
    older = [v for v in known if _numbers(v) <= _numbers(wanted)]
    if version or not older:
        raise ValueError(f"no table of MPS operators for torch {wanted}, only for {', '.join(known)}")
    _python_warnings.warn(
        f"no table of MPS operators for torch {wanted}: using the one for {older[-1]} (see README.md)",
        stacklevel=3,
    )
    return tables[older[-1]]


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    text, number = ctypes.c_char_p, ctypes.c_int64
    library.mps_sim_configure.argtypes = [text, text, ctypes.c_int, number, number, number]
    library.mps_sim_operators.restype = text
    for name in ("sync_points", "uploads", "allocated_bytes", "peak_bytes"):
        getattr(library, f"mps_sim_{name}").restype = number
    return library


def _installed() -> Any:
    if _library is None:
        raise RuntimeError("mps_sim is not installed: call mps_sim.install() first")
    return _library


def _operators() -> Iterator[tuple[Any, ...]]:
    for line in _installed().mps_sim_operators().decode().splitlines():
        name, *numbers = line.split()
        yield name, *map(int, numbers)


def _wait_for_autograd() -> None:
    """Wait until autograd's thread for the device sleeps.

    It drops its last Python objects a moment after backward() has returned; if the interpreter shuts down in that
    moment, the process aborts.
    """
    before: list[list[str]] = []
    for _ in range(200):
        now = []
        for status in Path("/proc/self/task").glob("*/status"):
            lines = status.read_text().splitlines()
            if lines[0].split()[1].startswith("pt_autograd"):
                now.append([line for line in lines if line.startswith("State") or "ctxt_switches" in line])
        if now == before:
            return
        before = now
        time.sleep(0.005)


class Stream:
    """In the place of torch.mps.Stream; there is nothing to wait for."""

    _current = threading.local()
    _last = 0

    def __init__(self, stream_id=None, **_):
        if stream_id is None:
            stream_id = Stream._last = Stream._last + 1
        self.stream_id = stream_id

    def synchronize(self):
        import torch

        torch.mps.synchronize()

    def query(self):
        return True

    def __eq__(self, other):
        return isinstance(other, Stream) and self.stream_id == other.stream_id

    def __hash__(self):
        return hash(self.stream_id)

    def __repr__(self):
        return f"<torch.mps.Stream stream_id={self.stream_id}>"


def _patch(torch):
    """Add the few Python-level parts that the Linux build of torch lacks; device.cpp has the rest."""

    def no_shaders(*_):
        raise NotImplementedError("mps_sim cannot compile or load Metal shaders")

    compiled = torch._C
    compiled._has_mps = True
    compiled._mps_get_name = lambda: "mps_sim"
    compiled._mps_get_core_count = lambda: 8
    compiled._mps_compileShader = compiled._mps_loadMetalllib = compiled._mps_loadMetallibFromPath = no_shaders
    compiled._mps_isCaptureEnabled = compiled._mps_isCapturing = lambda: False
    for cached in vars(torch.backends.mps).values():  # answers given before the installation
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    streams = getattr(torch.mps, "streams", None)
    if streams is not None:
        compiled._mps_getCurrentStream = lambda: getattr(Stream._current, "stream", Stream(0))
        compiled._mps_setStream = lambda stream: setattr(Stream._current, "stream", stream)
        streams.Stream = torch.mps.Stream = Stream
    plain_storage = torch.UntypedStorage.__new__

    def new_storage(cls, *args, device=None, **kwargs):  # torch.load(..., map_location="mps")
        if device is None or torch.device(device).type != "mps":
            return plain_storage(cls, *args, **({} if device is None else {"device": device}), **kwargs)
        return torch.empty(*args, dtype=torch.uint8, device=device).untyped_storage()

    torch.UntypedStorage.__new__ = new_storage
    torch.cuda.is_available = lambda: False  # as in every build for macOS
    torch.cuda.device_count = lambda: 0
