"""One check: the same computation on a device and in float64 on the host, and the largest difference."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nautilus_metal.engine import ComputeEngine

Array = NDArray[np.float64]
Outputs = Sequence[Any]


@dataclass(frozen=True)
class Check:
    """A row of the self-check.

    Attributes
    ----------
    name : str
        The kernel, by module and function, or the function of the package that runs several.
    compute : callable
        Takes an engine and returns tensors, arrays or numbers. What it does differs by the engine's device and
        number type alone.
    tolerance : float
        Largest difference from float64, over the largest figure of each output.
    """

    name: str
    compute: Callable[[ComputeEngine], Outputs]
    tolerance: float


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Attributes
    ----------
    name, tolerance
        As of the check.
    error : float or None
        The largest difference; infinite where one side alone has no number, None where the check itself failed.
    milliseconds : float
        What the device's side took, compilation of its kernels included.
    fault : str or None
        The error that was raised.
    """

    name: str
    tolerance: float
    error: float | None
    milliseconds: float
    fault: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.error is not None and self.error <= self.tolerance


def examine(check: Check, engine: ComputeEngine, exact: ComputeEngine) -> Finding:
    """Run a check on `engine`, and its oracle on `exact`, a float64 engine on the CPU.

    An error of the device is part of the finding, since the other checks still have something to say.
    """
    started = time.perf_counter()
    try:
        found = figures(check, engine)
    except Exception as error:
        took = (time.perf_counter() - started) * 1e3
        text = str(error).partition("\n")[0]
        return Finding(check.name, check.tolerance, None, took, f"{type(error).__name__}: {text}")
    took = (time.perf_counter() - started) * 1e3
    return Finding(check.name, check.tolerance, largest_difference(found, figures(check, exact)), took)


def figures(check: Check, engine: ComputeEngine) -> list[Array]:
    """Compute a check's outputs on an engine, and bring them to the host in float64."""
    return [_on_host(output) for output in check.compute(engine)]


def largest_difference(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """Largest `difference` of two sequences of outputs."""
    return max(difference(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def difference(found: Array, expected: Array) -> float:
    """Largest difference over the largest figure; infinite where shapes or missing figures differ.

    Examples
    --------
    >>> difference(np.array([1.0, np.nan]), np.array([2.0, np.nan]))
    0.5
    """
    if found.shape != expected.shape:
        return math.inf
    known = np.isfinite(expected)
    if not np.array_equal(known, np.isfinite(found)) or not np.array_equal(np.isnan(expected), np.isnan(found)):
        return math.inf
    if not known.any():
        return 0.0
    largest = float(np.abs(expected[known]).max())
    gap = float(np.abs(found[known] - expected[known]).max())
    return gap / largest if largest > 0.0 else gap


def _on_host(output: Any) -> Array:
    if isinstance(output, torch.Tensor):
        output = output.detach().cpu().to(torch.float64)
    return np.asarray(output, dtype=np.float64)
