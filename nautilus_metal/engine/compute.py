"""The compute engine: one device with its number types, its memory pool and its transfers."""

import math
import operator
import threading
from dataclasses import asdict
from types import TracebackType
from typing import Any

import numpy as np
import torch

from nautilus_metal.engine.blocks import MIB, layout
from nautilus_metal.engine.cancel import checkpoint
from nautilus_metal.engine.devices import KINDS, resolve
from nautilus_metal.engine.pool import MemoryPool
from nautilus_metal.engine.threads import threads_for
from nautilus_metal.errors import DeviceError, InputError

PRECISIONS: dict[str, torch.dtype] = {
    "auto": torch.float32,
    "float32": torch.float32,
    "float64": torch.float64,
}

_NUMPY: dict[torch.dtype, type] = {
    torch.float64: np.float64,
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.int16: np.int16,
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
}


class ComputeEngine:
    """A device to compute on, with a memory pool of its own.

    Every method may be called from any thread. The engine is a context manager: leaving it closes it.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` picks mps, then cuda, then cpu; or ``"mps"``, ``"cuda"``, ``"cuda:1"``, ``"cpu"``.
    precision : {"auto", "float32", "float64"}
        Type of Monte Carlo work; "auto" is float32 everywhere. mps has no float64.
    memory_fraction : float, optional
        Share in (0, 1] of the device's memory that the pool may hold; by default 0.8 of a GPU's (on mps of what
        Metal recommends) and 0.5 of the RAM.
    seed : int
        Seed of the portable random numbers, 0 or more.

    Attributes
    ----------
    device : torch.device
        The device.
    dtype : torch.dtype
        Type of Monte Carlo work.
    exact_dtype : torch.dtype
        The most exact type of the device (float64, on mps float32), for indicator histories.
    seed : int
        The seed.
    health : str
        ``"ok"``, or the reason why the device is degraded.

    Raises
    ------
    InputError
        If an argument is not as above.
    DeviceError
        If the device is not on this machine.

    See Also
    --------
    shared_engine : the engine and pool that the whole process shares, which is what most code wants: the budgets
        of separate engines on one device know nothing of each other.
    """

    def __init__(
        self,
        device: str | torch.device = "auto",
        precision: str = "auto",
        memory_fraction: float | None = None,
        seed: int = 0,
    ) -> None:
        self.device = resolve(device)
        self._kind = KINDS[self.device.type]
        self.dtype = _checked_dtype(precision, self.device.type)
        self.exact_dtype = self._kind.exact_dtype
        self.seed = _checked_seed(seed)
        self.health = "ok"
        self._index = self.device.index or 0
        self._lock = threading.Lock()
        self._closed = False
        self._pool = self._make_pool(budget_bytes(self.device, memory_fraction))

    def _make_pool(self, budget: int) -> MemoryPool:
        return MemoryPool(self.device, budget)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.device}, {self.dtype}, seed={self.seed})"

    def __enter__(self) -> "ComputeEngine":
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pool(self) -> MemoryPool:
        """The memory pool; its own default type is float32 whatever the engine's precision."""
        self._check_open()
        return self._pool

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Release the pool. Any later use is a `DeviceError`; a second `close` does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._pool.close()

    def synchronize(self) -> None:
        """Wait until the device has done all work that was queued on it."""
        self._check_open()
        self._kind.synchronize(self._index)

    def upload(self, array: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Copy numbers to the device, cast on the host before the transfer.

        Parameters
        ----------
        array : array_like or torch.Tensor
            Numbers of any shape.
        dtype : torch.dtype, optional
            Type on the device, the engine's `dtype` by default.

        Returns
        -------
        torch.Tensor
            Contiguous, of the same shape, sharing no memory with `array`.

        Raises
        ------
        InputError
            If `array` is not numeric, or the device has no such type.
        """
        self._check_open()
        dtype = self.dtype if dtype is None else dtype
        if dtype in self._kind.refused:
            raise InputError(f"`dtype` must be a type that {self.device} has, was {dtype}")
        layout(tuple(np.shape(array)), dtype, self.device.type)
        if isinstance(array, torch.Tensor):
            return self._move(array.detach(), dtype)
        if dtype not in _NUMPY:
            raise InputError(f"`dtype` must be one of {', '.join(map(str, _NUMPY))}, was {dtype}")
        source = np.asarray(array)
        if source.dtype.kind not in "biuf":
            raise InputError(f"`array` must hold real numbers, was of type {source.dtype}")
        must_copy = self.device.type == "cpu" or not source.flags.writeable
        host: np.ndarray = np.array(source, dtype=_NUMPY[dtype], order="C", copy=True if must_copy else None)
        return torch.from_numpy(host).to(self.device)

    def _move(self, source: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Copy a tensor here; the cast is made on the side that is sure to have both types: the host's."""
        on_host = source.device.type == "cpu"
        moved = source.to(dtype).to(self.device) if on_host else source.to(self.device).to(dtype)
        moved = moved.contiguous()
        shared = moved.untyped_storage().data_ptr() == source.untyped_storage().data_ptr()
        return moved.clone() if shared else moved

    def download(self, tensor: torch.Tensor, out: np.ndarray | None = None) -> np.ndarray:
        """Copy a tensor to the host in one transfer.

        Parameters
        ----------
        tensor : torch.Tensor
            Any real tensor.
        out : numpy.ndarray, optional
            Where to: float64, of the same shape, C-contiguous; a new array by default.

        Returns
        -------
        numpy.ndarray
            float64, of the same shape, sharing no memory with `tensor`.

        Raises
        ------
        InputError
            If `out` is of another type or shape.
        """
        self._check_open()
        if out is not None:
            if out.dtype != np.float64 or out.shape != tensor.shape:
                raise InputError(f"`out` must be float64 of {tuple(tensor.shape)}, was {out.dtype} of {out.shape}")
            torch.from_numpy(out).copy_(tensor.detach() if tensor.dtype == torch.float64 else tensor.detach().cpu())
            return out
        with threads_for(tensor.numel()):
            return tensor.detach().to("cpu").to(torch.float64, copy=tensor.is_cpu).contiguous().numpy()

    def status(self) -> dict[str, Any]:
        """Describe the engine in plain values.

        Returns
        -------
        dict
            device, device_name, dtype, exact_dtype, seed, budget_mb, total_mb (of the device), allocated_mb (torch's
            own count on the device, None on the CPU), pool (`MemoryPoolStats` as a dict), torch, health.
        """
        pool = self.pool
        allocated = self._kind.allocated_memory(self._index)
        return {
            "device": str(self.device),
            "device_name": self._kind.name(self._index),
            "dtype": str(self.dtype).removeprefix("torch."),
            "exact_dtype": str(self.exact_dtype).removeprefix("torch."),
            "seed": self.seed,
            "budget_mb": pool.budget_bytes / MIB,
            "total_mb": self._kind.total_memory(self._index) / MIB,
            "allocated_mb": None if allocated is None else allocated / MIB,
            "pool": asdict(pool.stats()),
            "torch": torch.__version__,
            "health": self.health,
        }

    def probe(self) -> None:
        """Compute something small on the device and check the answer.

        Raises
        ------
        DeviceError
            If the device fails, or its answer is wrong.
        """
        numbers = np.arange(16.0).reshape(4, 4)
        try:
            block = self.upload(numbers)
            answer = self.download(block @ block)
        except RuntimeError as error:
            raise DeviceError(f"{self.device} does not work: {error}") from error
        if not np.array_equal(answer, numbers @ numbers):
            raise DeviceError(f"{self.device} does not work: it multiplies small matrices wrongly")

    def _check_open(self) -> None:
        checkpoint()
        if self._closed:
            raise DeviceError(f"the engine on {self.device} is closed: make a new one")


def budget_bytes(device: torch.device, memory_fraction: float | None) -> int:
    """Bytes of a share of a device's memory; the device kind's default share if None."""
    kind = KINDS[device.type]
    fraction = kind.default_fraction if memory_fraction is None else memory_fraction
    valid = isinstance(fraction, int | float | np.floating) and not isinstance(fraction, bool)
    if not valid or not math.isfinite(fraction) or not 0.0 < fraction <= 1.0:
        raise InputError(f"`memory_fraction` must be above 0 and at most 1, was {memory_fraction!r}")
    return max(1, int(kind.total_memory(device.index or 0) * float(fraction)))


def _checked_dtype(precision: str, kind: str) -> torch.dtype:
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise InputError(f"`precision` must be one of {', '.join(map(repr, PRECISIONS))}, was {precision!r}")
    dtype = PRECISIONS[precision]
    if dtype in KINDS[kind].refused:
        raise InputError(f"`precision` must be 'auto' or 'float32' on {kind}, was {precision!r}")
    return dtype


def _checked_seed(seed: int) -> int:
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if isinstance(seed, bool) or not 0 <= value < 2**63:
        raise InputError(f"`seed` must be an integer from 0 to 2^63 - 1, was {seed!r}")
    return value
