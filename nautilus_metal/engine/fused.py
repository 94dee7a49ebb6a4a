"""Fused Metal kernels where a Mac has them: compiled and checked against the eager kernel on first use, or dropped.

On any other device, and on a Mac whose torch cannot compile shaders, the eager kernels run. A kernel that does not
compile, fails, or disagrees with the eager one is dropped for the rest of the process with a `RuntimeWarning`.
"""

import logging
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine.devices import is_out_of_memory
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.metal import shader

Outputs = Sequence[Tensor]
Fast = Callable[[Any], Outputs]
Eager = Callable[[], Outputs]
Scale = Callable[[], float] | None

KIND = "mps"
SWITCH = "NAUTILUS_METAL_FUSED"
"""Set this environment variable to 0 to do without fused kernels."""

_logger = logging.getLogger(__name__)


class FusedKernels:
    """The fused kernels of a process and what is known of them.

    Parameters
    ----------
    compiler : callable
        Turns a shader's text into a library; NotImplementedError where the device has no shaders.

    Attributes
    ----------
    verdicts : dict of str to bool
        Of each kernel met so far: whether it agreed with its eager counterpart.
    available : bool
        False once the compiler has said that there are no shaders here.
    """

    def __init__(self, compiler: Callable[[str], Any]) -> None:
        self._compiler = compiler
        self._libraries: dict[str, Any] = {}
        self._lock = threading.RLock()
        self.verdicts: dict[str, bool] = {}
        self.available = True

    def run(
        self, name: str, text: str, fast: Fast, eager: Eager, tolerance: float, scale: Scale = None
    ) -> Outputs:
        """Run a fused kernel, or the eager one where it is not, or not yet, trusted.

        Parameters
        ----------
        name, text : str
            The kernel, and the shader that holds it.
        fast, eager : callable
            The two ways; `fast` is given the library. Both return tensors of the same shapes. `eager` may write
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
        if not self.verdicts.get(name, self.available):
            return eager()
        if name not in self.verdicts:
            return self._first(name, text, fast, eager, tolerance, scale)
        try:
            return fast(self._libraries[text])
        except Exception as error:
            self._drop(name, error)
            return eager()

    def _first(
        self, name: str, text: str, fast: Fast, eager: Eager, tolerance: float, scale: Scale
    ) -> Outputs:
        with self._lock:
            if name in self.verdicts or not self.available:
                return eager()
            try:
                found = fast(self._library(text))
                size = None if scale is None else scale()
            except NotImplementedError as error:
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

    def _library(self, text: str) -> Any:
        if text not in self._libraries:
            self._libraries[text] = self._compiler(shader(text))
        return self._libraries[text]

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


_kernels: FusedKernels | None = None
_made = threading.Lock()


def fused_kernels(device: torch.device) -> FusedKernels | None:
    """Return the fused kernels of a device, None where there are none."""
    global _kernels
    if device.type != KIND or os.environ.get(SWITCH) == "0" or not hasattr(torch.mps, "compile_shader"):
        return None
    with _made:
        if _kernels is None:
            _kernels = FusedKernels(lambda text: torch.mps.compile_shader(text))
    return _kernels if _kernels.available else None
