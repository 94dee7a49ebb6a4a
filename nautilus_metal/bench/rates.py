"""How fast this machine moves and computes, measured now: what floors are made of."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.placement_measure import launch_time, matmul_rate, shortest

_COPIED = (2**20, 2**24, 2**28)  # bytes, read plus written: from the caches to main memory
_EXPONENTIALS = (2**16, 2**18, 2**20)  # numbers; the fastest counts
_ORDER = 1024  # of numpy's matrices


@dataclass(frozen=True)
class Rates:
    """Figures of the device that ours runs on, each the best of several tries and ways.

    Computing on the CPU is measured on one thread and counted once for each of torch's: a thread that another one
    waits for on a busy machine would lower the figure, and with it raise the floors.

    Attributes
    ----------
    copy : dict of int to float
        Bytes a second by the bytes that a copy moves, read plus written: small ones stay in a cache.
    matmul : dict of str to float
        Floating point operations a second of a large matrix product, by number type.
    exponentials : dict of str to float
        Exponentials a second, by number type; empty on a GPU, where they wait for memory and show another limit.
    launch : float
        Seconds that the device takes to start an operator; 0 on the CPU, where a compiled loop starts none.
    """

    copy: dict[int, float]
    matmul: dict[str, float]
    exponentials: dict[str, float]
    launch: float

    def moved(self, count: float) -> float:
        """Seconds to read and write this many bytes altogether.

        >>> round(Rates({100: 1e9, 10_000: 1e8}, {}, {}, 0.0).moved(1_000_000), 6)
        0.01
        """
        sizes, speeds = np.log(list(self.copy)), np.log(list(self.copy.values()))
        return float(count / math.exp(np.interp(math.log(max(count, 1.0)), sizes, speeds)))

    def multiplied(self, operations: float, dtype: str = "float32") -> float | None:
        """Seconds for this many multiplications and additions of a matrix product; None without the number type."""
        return operations / self.matmul[dtype] if dtype in self.matmul else None

    def exponentiated(self, count: float, dtype: str = "float32") -> float | None:
        """Seconds for this many exponentials; None where their rate is unknown."""
        return count / self.exponentials[dtype] if dtype in self.exponentials else None


def measure_rates(engine: ComputeEngine, quick: bool = False) -> Rates:
    """Measure the device of an engine; about a second, next to nothing where `quick`, which gives rough figures."""
    on_cpu = engine.device.type == "cpu"
    types = [torch.float32] + ([torch.float64] if engine.exact_dtype is torch.float64 else [])
    names = {str(dtype).removeprefix("torch."): dtype for dtype in types}
    sizes, threads = _COPIED[:1] if quick else _COPIED, torch.get_num_threads() if on_cpu else 1
    copy = {size: size / min(_copies(engine, size)) for size in sizes}
    with threads_for(1):
        return Rates(
            copy=copy,
            matmul={name: _products(engine, dtype, threads) for name, dtype in ({} if quick else names).items()},
            exponentials={
                name: threads * _exponentials(engine, dtype) for name, dtype in (names if on_cpu else {}).items()
            },
            launch=0.0 if on_cpu else 1e-6 * launch_time(engine),
        )


def _copies(engine: ComputeEngine, size: int) -> list[float]:
    """Seconds to copy `size` / 2 bytes by each way there is: torch's, and on the CPU one numpy copy a thread."""
    here = torch.ones(size // 8, device=engine.device)
    there = torch.empty_like(here)
    ways = [_timed(engine, lambda: there.copy_(here))]
    if engine.device.type == "cpu":
        threads = torch.get_num_threads()
        whole, copied = here.numpy(), there.numpy()
        source, target = np.array_split(whole, threads), np.array_split(copied, threads)
        ways.append(_timed(engine, lambda: np.copyto(copied, whole)))
        with ThreadPoolExecutor(threads) as pool:
            ways.append(_timed(engine, lambda: list(pool.map(np.copyto, target, source))))
    return ways


def _products(engine: ComputeEngine, dtype: torch.dtype, threads: int) -> float:
    """Operations a second by torch's library, and on the CPU by oneDNN's and by numpy's, with its own threads."""
    best = 1e9 * threads * matmul_rate(engine, dtype)
    if engine.device.type != "cpu":
        return best
    square, operations = torch.full((_ORDER, _ORDER), 0.5, dtype=dtype), 2.0 * _ORDER**3
    host = square.numpy()
    best = max(best, operations / _timed(engine, lambda: host @ host))
    if dtype is torch.float32 and torch.backends.mkldnn.is_available():
        packed = square.to_mkldnn()
        best = max(best, threads * operations / _timed(engine, lambda: torch.nn.functional.linear(packed, packed)))
    return best


def _exponentials(engine: ComputeEngine, dtype: torch.dtype) -> float:
    """Exponentials a second of one thread, by torch and by numpy."""
    best = 0.0
    for count in _EXPONENTIALS:
        numbers = torch.linspace(-1.0, 1.0, count, dtype=dtype)
        out = torch.empty_like(numbers)
        ways = (partial(torch.exp, numbers, out=out), partial(np.exp, numbers.numpy(), out=out.numpy()))
        best = max(best, *(count / _timed(engine, way) for way in ways))
    return best


def _timed(engine: ComputeEngine, call: Callable[[], object]) -> float:
    return shortest(call, engine.synchronize, repeats=200, enough=0.03)
