"""Fused kernels beside eager ones: compiled and checked against the eager kernel on first use, or dropped.

A kernel is written in the language of its device, a row of `LANGUAGES`. Where that language cannot be had (no Mac, a
torch that compiles no shaders, no numba, no Triton) the eager kernels run. A kernel that does not compile, fails, or
disagrees with the eager one is dropped for the rest of the process with a `RuntimeWarning`.
"""

import logging
import os
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nautilus_metal.engine.devices import is_out_of_memory
from nautilus_metal.engine.fused_numba import compile_loop
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.metal import shader

Outputs = Sequence[Tensor]
Fast = Callable[[Any], Outputs]
Eager = Callable[[], Outputs]
Scale = Callable[[], float] | None

SWITCH = "NAUTILUS_METAL_FUSED"
"""Set this environment variable to 0 to do without fused kernels."""

_compiling: ContextVar[bool] = ContextVar("compiling", default=True)
_logger = logging.getLogger(__name__)


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Leave kernels that are not compiled yet to the eager ones: compiling keeps the interpreter's lock for long."""
    token = _compiling.set(False)
    try:
        yield
    finally:
        _compiling.reset(token)


class FusedKernels:
    """The fused kernels of a process and what is known of them.

    Parameters
    ----------
    compiler : callable
        Turns a source into what can be called; NotImplementedError or ImportError where the language is not to be
        had at all.

    Attributes
    ----------
    verdicts : dict of str to bool
        Of each kernel met so far: whether it agreed with its eager counterpart.
    available : bool
        False once the compiler has said that the language is not to be had.
    """

    def __init__(self, compiler: Callable[[Any], Any]) -> None:
        self._compiler = compiler
        self._libraries: dict[Hashable, Any] = {}
        self._lock = threading.RLock()
        self.verdicts: dict[str, bool] = {}
        self.available = True

    def run(
        self, name: str, source: Hashable, fast: Fast, eager: Eager, tolerance: float, scale: Scale = None
    ) -> Outputs:
        """Run a fused kernel, or the eager one where it is not, or not yet, trusted.

        Parameters
        ----------
        name : str
            The kernel.
        source : hashable
            What the compiler is given; see `LANGUAGES`.
        fast, eager : callable
            The two ways; `fast` is given what was compiled. Both return tensors of the same shapes. `eager` may write
            over its inputs.
        tolerance : float
            Largest difference allowed, in units of the scale. NaN must stand in the same places.
        scale : callable, optional
            What the difference is measured by; the largest magnitude of each eager output if not given.

        Returns
        -------
        sequence of Tensor
            Those of the fused kernel from the first use on, so that the same question has the same bits each time.
        """
        if not self.verdicts.get(name, self.available and _compiling.get()):
            return eager()
        if name not in self.verdicts:
            return self._first(name, source, fast, eager, tolerance, scale)
        try:
            return fast(self._libraries[source])
        except Exception as error:
            self._drop(name, error)
            return eager()

    def trusted(self, name: str, source: Hashable, fast: Fast, eager: Eager, tolerance: float) -> Any:
        """Return a compiled kernel after a comparison on a sample, for callers who run it themselves.

        Parameters are those of `run`; both ways compute the sample, and are called once in the life of the process.

        Returns
        -------
        Any
            What was compiled; None where the eager kernel has to run.
        """
        if name not in self.verdicts and self.available and _compiling.get():
            self._first(name, source, fast, eager, tolerance, None)
        return self.known(name, source)

    def known(self, name: str, source: Hashable) -> Any:
        """Return a compiled kernel that has been found to agree; None where it has not, or not been met yet."""
        return self._libraries[source] if self.verdicts.get(name) else None

    def _first(
        self, name: str, source: Hashable, fast: Fast, eager: Eager, tolerance: float, scale: Scale
    ) -> Outputs:
        with self._lock:
            if name in self.verdicts or not self.available:
                return eager()
            try:
                found = fast(self._library(source))
                size = None if scale is None else scale()
            except (NotImplementedError, ImportError) as error:
                self.available = False
                _logger.info("no fused kernels on this device, the eager ones run: %s", error)
                return eager()
            except Exception as error:
                self._drop(name, error)
                return eager()
            expected = eager()
            gap = largest_gap(found, expected, size)
            if gap <= tolerance:
                self.verdicts[name] = True
                _logger.info("fused kernel %s agrees with the eager one to %.1e of the scale", name, gap)
                return found
            self._drop(name, f"it differs from the eager kernel by {gap:.1e} of the scale, above {tolerance:.0e}")
            return expected

    def _library(self, source: Hashable) -> Any:
        if source not in self._libraries:
            self._libraries[source] = self._compiler(source)
        return self._libraries[source]

    def _drop(self, name: str, reason: Exception | str) -> None:
        """Use the eager kernel from now on; a device without memory says nothing about a kernel."""
        if isinstance(reason, Exception) and (is_out_of_memory(reason) or isinstance(reason, InputError)):
            raise reason
        self.verdicts[name] = False
        warnings.warn(f"fused kernel {name} is dropped, the eager one runs: {reason}", RuntimeWarning, stacklevel=4)


def largest_gap(found: Outputs, expected: Outputs, scale: float | None) -> float:
    """Return the largest difference in units of the scale; infinite where shapes, NaN or infinities differ."""
    worst = 0.0
    for ours, theirs in zip(found, expected, strict=True):
        if ours.shape != theirs.shape:
            return float("inf")
        a, b = (tensor.detach().to("cpu").to(torch.float64) for tensor in (ours, theirs))
        gaps = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs()).nan_to_num(nan=float("inf"))
        gap = float(gaps.max()) if gaps.numel() else 0.0
        size = float(torch.where(b.isfinite(), b, 0.0).abs().max()) if scale is None and gap > 0 else scale
        if gap > 0:
            worst = max(worst, gap / size if size else float("inf"))
    return worst


def _metal(name: str) -> Any:
    """Compile a shader of `kernels.metal`, by its name."""
    if not hasattr(torch.mps, "compile_shader"):
        raise NotImplementedError("this torch compiles no shaders")
    return torch.mps.compile_shader(shader(name))


class Language(NamedTuple):
    """What fused kernels of a device are written in: the type of the device, and the compiler."""

    kind: str
    compiler: Callable[[Any], Any]


# A source is the name of a shader, a Python function, or a function that imports Triton and returns its kernels.
LANGUAGES: dict[str, Language] = {
    "metal": Language("mps", _metal),
    "numba": Language("cpu", compile_loop),
    "triton": Language("cuda", lambda make: make()),
}

_kernels: dict[str, FusedKernels] = {}
_made = threading.Lock()


def fused_kernels(device: torch.device, language: str = "metal") -> FusedKernels | None:
    """Return the fused kernels of a device in a language, None where there are none."""
    row = LANGUAGES[language]
    if device.type != row.kind or os.environ.get(SWITCH) == "0":
        return None
    if language not in _kernels:
        with _made:
            _kernels.setdefault(language, FusedKernels(row.compiler))
    kernels = _kernels[language]
    return kernels if kernels.available else None
