"""The pieces of a training: data, reproducible epochs, progress and what stays of it."""

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.governor import room
from nautilus_metal.errors import InputError

_BAR_CELLS = 24


class Data:
    """Inputs and targets of one use, checked on the host, and on the device as a whole where they take little of it.

    Parameters
    ----------
    name : str
        What errors call it.
    inputs, targets : array_like
        Shapes (n, time, features) and (n,) or (n, output).
    engine : ComputeEngine
        Where batches are needed.
    dtype : torch.dtype
        Of the network.
    """

    def __init__(self, name: str, inputs: Any, targets: Any, engine: ComputeEngine, dtype: torch.dtype) -> None:
        self._engine, self._dtype = engine, dtype
        x = _host(f"{name}inputs", inputs, dtype)
        y = _host(f"{name}targets", targets, dtype)
        if len(x) == 0 or len(x) != len(y):
            raise InputError(
                f"`{name}inputs` and `{name}targets` must be as many, at least 1, were {len(x)} and {len(y)}"
            )
        self.digest = hashlib.sha256(x.numpy().tobytes() + y.numpy().tobytes()).hexdigest()
        y = y[:, None] if y.ndim == 1 else y
        self._is_there = 4 * (x.nbytes + y.nbytes) < room(engine)
        self.inputs, self.targets = (engine.upload(x, dtype), engine.upload(y, dtype)) if self._is_there else (x, y)

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches on the device, in the given order of samples."""
        for first in range(0, len(self), size):
            chosen = slice(first, first + size) if order is None else order[first : first + size]
            if isinstance(chosen, Tensor) and self._is_there:
                chosen = chosen.to(self._engine.device)
            x, y = self.inputs[chosen], self.targets[chosen]
            if not self._is_there:
                x, y = self._engine.upload(x, self._dtype), self._engine.upload(y, self._dtype)
            yield x, y


def _host(name: str, values: Any, dtype: torch.dtype) -> Tensor:
    made = values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    made = made.to(dtype).contiguous()
    finite = torch.isfinite(made).flatten(1).all(1) if made.ndim > 1 else torch.isfinite(made)
    if made.ndim == 0 or not finite.all():
        where = "" if made.ndim == 0 else f", sample {int((~finite).nonzero()[0])} is not"
        raise InputError(f"`{name}` must be finite numbers, a row for each sample{where}")
    return made


@contextmanager
def drawn_from(seed: int, epoch: int, device: torch.device) -> Iterator[torch.Generator]:
    """Let every random number of an epoch depend on seed and epoch alone, and leave torch's generators as they were.

    So an epoch that is begun again, after an interruption, is the same epoch.
    """
    module = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
    host, there = torch.get_rng_state(), module.get_rng_state() if module else None
    number = int.from_bytes(hashlib.sha256(f"{seed}:{epoch}".encode()).digest()[:7], "big")
    torch.manual_seed(number)
    try:
        yield torch.Generator().manual_seed(number)
    finally:
        torch.set_rng_state(host)
        if module is not None and there is not None:
            module.set_rng_state(there)


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to; the network holds the weights of the best epoch.

    Attributes
    ----------
    epochs_run : int
        Epochs trained in all, those before a resumption included.
    best_epoch : int
        The first of the lowest `validation_losses`, or of the lowest `losses` without validation data; from 1.
    best_loss : float
        Its loss.
    losses, validation_losses : tuple of float
        Mean squared error by epoch; over the training's batches as they came, and after the epoch; the latter is
        empty without validation data.
    stopped_early : bool
        Whether `patience` ended it before `epochs`.
    resumed_from : int
        Epochs that were taken from a checkpoint.
    device, precision : str
        Where it ran, and the type of its matrix products.
    seconds : float
        Wall time of this call.
    """

    epochs_run: int
    best_epoch: int
    best_loss: float
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    stopped_early: bool
    resumed_from: int
    device: str
    precision: str
    seconds: float


class TrainingBar:
    """Epochs done and their losses: a bar on a terminal, a line an epoch elsewhere.

    Parameters
    ----------
    total : int
        Epochs at most.
    shown : bool
        Whether to draw at all.
    stream : TextIO, optional
        Standard error by default.
    """

    def __init__(self, total: int, shown: bool, stream: TextIO | None = None) -> None:
        self._total, self._shown = total, shown
        self._stream = sys.stderr if stream is None else stream
        self._start = time.monotonic()

    def epoch(self, done: int, loss: float, validation: float | None) -> None:
        """Draw the state after an epoch."""
        if not self._shown:
            return
        judged = "" if validation is None else f"  validation {validation:.6g}"
        text = f"epoch {done}/{self._total}  loss {loss:.6g}{judged}  {time.monotonic() - self._start:.0f} s"
        if not self._stream.isatty():
            print(f"training {text}", file=self._stream, flush=True)
            return
        full = round(done / self._total * _BAR_CELLS)
        line = f"training {'█' * full}{'░' * (_BAR_CELLS - full)} {text}"
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width].ljust(width)}", end="", file=self._stream, flush=True)

    def finish(self) -> None:
        """End the line."""
        if self._shown and self._stream.isatty():
            print(file=self._stream, flush=True)
