"""The device kinds that the engine knows, one row each; a new device is a new row.

Nothing here asks torch about a GPU while it is being imported: each column is a function that is called when an
engine is made.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from nautilus_metal.engine.hardware import describe
from nautilus_metal.engine.hardware.facts import main_memory
from nautilus_metal.errors import DeviceError, InputError

_FORM = re.compile(r"(mps|cuda|cpu)(?::(\d{1,4}))?")
# Of what Metal recommends: where torch stops, and from where it gives its cached memory back. Its own defaults are
# 1.7 and 1.4, more than the RAM of most Macs, and it refuses a first one that is below the second.
_WATERMARKS = {"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "1.0", "PYTORCH_MPS_LOW_WATERMARK_RATIO": "0.8"}
_SHARED_RAM = 0.75  # of the RAM that CPU and GPU share: what Metal itself recommends at most by default


@dataclass(frozen=True)
class DeviceKind:
    """What the engine has to know about a kind of device.

    Attributes
    ----------
    kind : str
        torch's name of the device type.
    count : callable
        Number of such devices here, 0 where there are none; never raises.
    default_index : callable or None
        Index meant by the bare name; None where the bare name is all there is (torch keeps ``mps`` and ``cpu``
        without an index).
    exact_dtype : torch.dtype
        The most exact floating type that the device computes in.
    refused : frozenset of torch.dtype
        Types that do not exist on it.
    max_tensor_bytes, max_tensor_elements : int or None
        Beyond these single tensors give wrong results or fail on the device.
    default_fraction : float
        Share of `total_memory` that the pool may use if the caller does not say.
    prepare : callable
        What must be set before torch first touches such a device; any number of times.
    name : callable
        Index -> the hardware's name.
    total_memory : callable
        Index -> bytes that the device has, or that its driver recommends to use at most.
    allocated_memory : callable
        Index -> bytes that torch holds in tensors, None where torch does not count them.
    synchronize : callable
        Index -> wait for all queued work.
    empty_cache : callable
        Give torch's own cached memory back to the system.
    stream : callable or None
        Index -> torch's current stream, on devices that have several in parallel.
    """

    kind: str
    count: Callable[[], int]
    default_index: Callable[[], int] | None
    exact_dtype: torch.dtype
    refused: frozenset[torch.dtype]
    max_tensor_bytes: int | None
    max_tensor_elements: int | None
    default_fraction: float
    prepare: Callable[[], None]
    name: Callable[[int], str]
    total_memory: Callable[[int], int]
    allocated_memory: Callable[[int], int | None]
    synchronize: Callable[[int], None]
    empty_cache: Callable[[], None]
    stream: Callable[[int], Any] | None


def _cpu_memory(_: int) -> int:
    """Bytes of RAM that this process may use."""
    found = main_memory()
    if found is None:
        raise DeviceError("this system does not say how much memory it has")
    return found


def _lower_watermarks() -> None:
    """Keep torch on a Mac below what swaps, unless the user has set either limit; read by its allocator's start."""
    if not any(name in os.environ for name in _WATERMARKS):
        os.environ.update(_WATERMARKS)


def _mps_memory(_: int) -> int:
    """What Metal recommends to use at most; a user may have raised that above what the RAM can bear."""
    recommended = int(torch.mps.recommended_max_memory())
    ram = main_memory()
    return recommended if ram is None else min(recommended, int(_SHARED_RAM * ram))


def _mps_count() -> int:
    return 1 if torch.backends.mps.is_available() else 0


def _cuda_allocated(index: int) -> int:
    """What `torch.cuda.memory_allocated` returns after it has flattened all other statistics, for 0.3 ms."""
    found = torch.cuda.memory_stats_as_nested_dict(index)
    return int(found["allocated_bytes"]["all"]["current"]) if found else 0


def _cuda_count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


# In the order in which "auto" picks them. MPS: float64 is refused by the framework; from 2^31 elements or 4 GiB
# some of its operators are silently wrong. Its recommended memory is Metal's recommendedMaxWorkingSetSize.
KINDS: dict[str, DeviceKind] = {
    row.kind: row
    for row in (
        DeviceKind(
            kind="mps",
            count=_mps_count,
            default_index=None,
            exact_dtype=torch.float32,
            refused=frozenset({torch.float64, torch.complex128}),
            max_tensor_bytes=2**32 - 1,
            max_tensor_elements=2**31 - 1,
            default_fraction=0.8,
            prepare=_lower_watermarks,
            name=lambda _: f"{describe('mps').chip or 'Apple'} GPU (Metal)",
            total_memory=_mps_memory,
            allocated_memory=lambda _: int(torch.mps.current_allocated_memory()),
            synchronize=lambda _: torch.mps.synchronize(),
            empty_cache=lambda: torch.mps.empty_cache(),
            stream=None,
        ),
        DeviceKind(
            kind="cuda",
            count=_cuda_count,
            default_index=lambda: torch.cuda.current_device(),
            exact_dtype=torch.float64,
            refused=frozenset(),
            max_tensor_bytes=None,
            max_tensor_elements=None,
            default_fraction=0.8,
            prepare=lambda: None,
            name=lambda index: torch.cuda.get_device_name(index),
            total_memory=lambda index: int(torch.cuda.get_device_properties(index).total_memory),
            allocated_memory=_cuda_allocated,
            synchronize=lambda index: torch.cuda.synchronize(index),
            empty_cache=lambda: torch.cuda.empty_cache(),
            stream=lambda index: torch.cuda.current_stream(index),
        ),
        DeviceKind(
            kind="cpu",
            count=lambda: 1,
            default_index=None,
            exact_dtype=torch.float64,
            refused=frozenset(),
            max_tensor_bytes=None,
            max_tensor_elements=None,
            default_fraction=0.5,
            prepare=lambda: None,
            name=lambda _: describe("cpu").chip or "cpu",
            total_memory=_cpu_memory,
            allocated_memory=lambda _: None,
            synchronize=lambda _: None,
            empty_cache=lambda: None,
            stream=None,
        ),
    )
}


def available_devices() -> list[str]:
    """List the devices of this machine in the order in which ``"auto"`` picks them.

    Returns
    -------
    list of str
        For example ``["cuda:0", "cuda:1", "cpu"]`` or ``["mps", "cpu"]``.
    """
    found = []
    for row in KINDS.values():
        count = row.count()
        found += [f"{row.kind}:{i}" for i in range(count)] if row.default_index else [row.kind] * count
    return found


def resolve(device: str | torch.device = "auto") -> torch.device:
    """Turn a device's name into the device.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` (mps, then cuda, then cpu), ``"mps"``, ``"cuda"`` (torch's current one), ``"cuda:1"``, ``"cpu"``.

    Returns
    -------
    torch.device
        With an index for cuda, without one for mps and cpu.

    Raises
    ------
    InputError
        If the name is none of these.
    DeviceError
        If the device is not on this machine; the message names those that are.
    """
    name = str(device) if isinstance(device, torch.device) else device
    if not isinstance(name, str):
        raise InputError(f"`device` must be a name such as 'auto' or 'cuda:0', was {device!r}")
    if name == "auto":
        row, index = next(row for row in KINDS.values() if row.count()), None
    else:
        match = _FORM.fullmatch(name)
        if match is None:
            raise InputError(
                f"`device` must be 'auto' or one of {', '.join(map(repr, KINDS))}, for example 'cuda:1', "
                f"was {name!r}"
            )
        row, index = KINDS[match[1]], None if match[2] is None else int(match[2])
    count = row.count()
    if count == 0 or (index is not None and index >= count):
        raise DeviceError(f"device {name!r} is not available here; available: {', '.join(available_devices())}")
    row.prepare()
    if row.default_index is None:
        return torch.device(row.kind)
    return torch.device(row.kind, row.default_index() if index is None else index)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that the device has no memory left, in the words of any backend."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("out of memory", "allocate memory", "not enough memory", "invalid buffer size")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
