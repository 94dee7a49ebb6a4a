"""Inference on a device that may fail, with the batch size that its memory allows."""

import copy
import logging
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nautilus_metal.engine import ComputeEngine, shared_engine, threads_for
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.engine.precision import whole_products
from nautilus_metal.engine.threads import share, torch_alone
from nautilus_metal.errors import InputError
from nautilus_metal.models.fused_lstm import evaluated, handy_batch
from nautilus_metal.models.memory import BatchSize, largest_batch
from nautilus_metal.models.networks import widest
from nautilus_metal.models.precision import cast, mixed_dtype

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Benchmark:
    """Times of one batch, each from an idle device to its answer on the host.

    Attributes
    ----------
    device : str
        Where it ran.
    shape : tuple of int
        Of the batch.
    repeats : int
        Measured calls, after the ones to warm up.
    median_ms, shortest_ms, longest_ms : float
        Milliseconds of a call.
    samples_per_second : float
        By the median.
    """

    device: str
    shape: tuple[int, ...]
    repeats: int
    median_ms: float
    shortest_ms: float
    longest_ms: float
    samples_per_second: float


class MetalModelWrapper:
    """Evaluates a network on a device; made by `create_metal_model_wrapper`.

    The network stays on the host, and may be trained or loaded there: the device has a copy that follows it.
    Evaluation is without dropout and gradients, whatever mode the network is in, so that one input has one answer.

    Where the device fails, that call is done on the CPU, and the next one tries the device again with a fresh copy.

    Attributes
    ----------
    model : nn.Module
        The network, on the host.
    engine : ComputeEngine
        The device's.
    fallbacks : int
        Calls that the CPU did because the device failed.
    last_fault : str or None
        What the device said when it last failed.
    last_device : str or None
        Where the last call ran.
    """

    def __init__(self, model: nn.Module, engine: ComputeEngine, mixed_precision: bool = False) -> None:
        self.model, self.engine = model, engine
        self.fallbacks = 0
        self.last_fault: str | None = None
        self.last_device: str | None = None
        self.batch_size: int | None = None
        self._short = mixed_dtype(engine.device) if mixed_precision else None
        self._copies: dict[torch.device, tuple[Any, nn.Module]] = {}

    def __call__(self, inputs: Any) -> Tensor:
        """Do as `forward`."""
        return self.forward(inputs)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the network's parameters, those on the host."""
        return self.model.parameters()

    def forward(self, inputs: Any) -> Tensor:
        """Evaluate the network, in batches of `batch_size` where that is set.

        Parameters
        ----------
        inputs : array_like or Tensor
            Shape (n, ...), the network's input.

        Returns
        -------
        Tensor
            The network's output, on the host.

        Raises
        ------
        InputError
            If the input is empty or not finite.
        Exception
            What the network raises on the CPU too.
        """
        window = self._checked(inputs)
        try:
            return self._tried(window, self.engine)
        except RuntimeError as error:
            fallback = cpu_of(self.engine)
            if fallback is self.engine:
                raise
            made = self._evaluate(window, fallback)  # where the input is at fault, the CPU's error says so
            self.fallbacks += 1
            self.last_fault = f"{type(error).__name__}: {error}"
            _log.warning("%s failed, the CPU has done the call: %s", self.engine.device, self.last_fault)
            return made

    def evaluate_on(self, inputs: Any, engine: ComputeEngine) -> Tensor:
        """Evaluate on a given engine, without a second try elsewhere: for callers that have their own fallback."""
        return self._tried(self._checked(inputs), engine)

    def tune_batch_size(self, sample: Any, most: int = 65_536) -> BatchSize:
        """Find the largest batch that fits into the memory free on the device, and use it from now on.

        Parameters
        ----------
        sample : array_like or Tensor
            One input without the batch's axis, for example of shape (time, features).
        most : int, default 65536
            Largest size of use.

        Returns
        -------
        BatchSize
            The size, and what each size tried has taken.
        """
        one = self._checked(sample)[None]

        def work(size: int) -> Tensor:
            return self._batch(one.expand(size, *one.shape[1:]), self._copy_on(self.engine), self.engine)

        self._copy_on(self.engine)  # the weights are there already when a batch is measured
        found = largest_batch(self.engine, work, most)
        self.batch_size = found.chosen
        return found

    def benchmark_performance(self, inputs: Any, repeats: int = 20, warm_up: int = 3) -> Benchmark:
        """Time the evaluation of a batch on the device; every time starts and ends with an idle device.

        Parameters
        ----------
        inputs : array_like or Tensor
            The batch.
        repeats, warm_up : int
            Calls that are measured, and calls before them.

        Returns
        -------
        Benchmark
            On the engine's own device: a failure is raised, not timed on the CPU.
        """
        for name, count, least in (("repeats", repeats, 1), ("warm_up", warm_up, 0)):
            if not isinstance(count, int) or isinstance(count, bool) or count < least:
                raise InputError(f"`{name}` must be an integer of at least {least}, was {count!r}")
        window, times = self._checked(inputs), []
        for number in range(warm_up + repeats):
            self.engine.synchronize()
            start = time.perf_counter()
            self._evaluate(window, self.engine)
            self.engine.synchronize()
            if number >= warm_up:
                times.append((time.perf_counter() - start) * 1e3)
        median = statistics.median(times)
        rate = len(window) / median * 1e3
        return Benchmark(str(self.engine.device), tuple(window.shape), repeats, median, min(times), max(times), rate)

    def _tried(self, window: Tensor, engine: ComputeEngine) -> Tensor:
        try:
            return self._evaluate(window, engine)
        except RuntimeError:
            self._copies.pop(engine.device, None)
            raise

    def _evaluate(self, window: Tensor, engine: ComputeEngine) -> Tensor:
        model = self._copy_on(engine)
        size = min(self.batch_size or len(window), handy_batch(model, window, engine.device))
        parts = window.split(size)
        if len(parts) > 1 and engine.device.type == "cpu":
            made = self._side_by_side(parts, model, engine, widest(self.model, window, len(window)))
        else:
            with threads_for(widest(self.model, window, min(size, len(window)))):
                made = torch.cat([self._batch(part, model, engine) for part in parts]).cpu()
        self.last_device = str(engine.device)
        return made

    def _side_by_side(
        self, parts: Sequence[Tensor], model: nn.Module, engine: ComputeEngine, elements: int
    ) -> Tensor:
        """Each part on one thread: the threads of a recurrent layer would wait for each other at every step."""
        made: dict[int, Tensor] = {}

        def work(k: int) -> None:
            torch.set_num_threads(1)  # OpenMP has a number for each thread
            made[k] = self._batch(parts[k], model, engine)

        with torch_alone():
            share(work, range(len(parts)), elements)
        return torch.cat([made[k] for k in range(len(parts))])

    def _batch(self, window: Tensor, model: nn.Module, engine: ComputeEngine) -> Tensor:
        short = self._short if engine is self.engine else None
        with torch.no_grad(), whole_products(engine.device), cast(engine.device, short):
            return evaluated(model, engine.upload(window, window.dtype)).to(window.dtype)

    def _copy_on(self, engine: ComputeEngine) -> nn.Module:
        """Return the network's copy on a device, made again where its weights have changed since."""
        version = tuple(
            (id(value), value._version) for value in (*self.model.parameters(), *self.model.buffers())
        )
        kept = self._copies.get(engine.device)
        if kept is None or kept[0] != version:
            made = copy.deepcopy(self.model).eval().requires_grad_(False)
            kept = self._copies[engine.device] = (version, made.to(engine.device))
        return kept[1]

    def _checked(self, inputs: Any) -> Tensor:
        made = inputs.detach().cpu() if isinstance(inputs, Tensor) else torch.as_tensor(np.asarray(inputs))
        made = made.to(next(self.model.parameters()).dtype)
        if made.ndim == 0 or made.numel() == 0 or not _all_finite(made):
            raise InputError(f"`inputs` must be finite and of one sample at least, was of shape {tuple(made.shape)}")
        return made


def _all_finite(values: Tensor) -> bool:
    """By their sum, ten times faster than one by one; where that has no finite value, they are looked at."""
    return math.isfinite(float(values.sum())) or bool(torch.isfinite(values).all())


def create_metal_model_wrapper(
    model: "nn.Module | MetalModelWrapper", engine: ComputeEngine | None = None, mixed_precision: bool = False
) -> MetalModelWrapper:
    """Make what evaluates a network on a device.

    Parameters
    ----------
    model : nn.Module
        Any network with parameters, on the host. What is wrapped already is returned as it is.
    engine : ComputeEngine, optional
        Where to evaluate; the process's shared one by default.
    mixed_precision : bool, default False
        Matrix products in bfloat16 where the device has it.

    Examples
    --------
    >>> from nautilus_metal.models import create_financial_lstm
    >>> forecast = create_metal_model_wrapper(create_financial_lstm(hidden_size=8), shared_engine("cpu"))
    >>> forecast(np.zeros((3, 20, 5))).shape
    torch.Size([3, 1])
    """
    if isinstance(model, MetalModelWrapper):
        return model
    if not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        raise InputError(f"`model` must be a torch module with parameters, was {type(model).__name__}")
    if any(value.device.type != "cpu" for value in model.parameters()):
        raise InputError("`model` must be on the host: the wrapper has its own copy on the device")
    return MetalModelWrapper(model, engine or shared_engine(), mixed_precision)
