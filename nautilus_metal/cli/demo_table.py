"""The demonstration's table: the same work on the CPU and on the GPU, if there is one."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nautilus_metal.compat import metal_device_manager
from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.engine.histories import rsi_history
from nautilus_metal.models import create_financial_lstm
from nautilus_metal.report.terminal import table
from nautilus_metal.risk import Book, assess
from nautilus_metal.risk.pricing import price_option

_ROUNDS = 5
Run = Callable[[], Any]


@dataclass(frozen=True)
class Work:
    """A row of the table.

    Attributes
    ----------
    name : str
        What is done, with room for the size.
    full, quick : int
        Sizes.
    prepare : callable
        ``prepare(engine, size)`` returns what is timed; its answer is an array, the same on every device up to
        `tolerance` of its largest element.
    tolerance : float
        Of float32 work.
    """

    name: str
    full: int
    quick: int
    prepare: Callable[[ComputeEngine, int], Run]
    tolerance: float


def _option(engine: ComputeEngine, paths: int) -> Run:
    terms = {"spot": 100.0, "strike": 110.0, "expiry": 0.25, "rate": 0.05, "volatility": 0.2}
    return lambda: price_option("call", **terms, num_simulations=paths, engine=engine).price  # type: ignore[arg-type]


def _rsi(engine: ComputeEngine, series: int) -> Run:
    steps = np.random.default_rng(0).normal(0.0, 0.01, (series, 10_000))
    history = 100.0 * np.exp(steps.cumsum(axis=1))
    return lambda: rsi_history(history, 14, engine)[:, -1]


def _product(engine: ComputeEngine, side: int) -> Run:
    matrix = engine.upload(np.random.default_rng(0).normal(size=(side, side)), torch.float32)
    return lambda: engine.download((matrix @ matrix)[:8, :8])


def _network(engine: ComputeEngine, batch: int) -> Run:
    torch.manual_seed(0)
    model = create_financial_lstm(input_size=5).to(engine.device).eval()
    window = engine.upload(np.random.default_rng(0).normal(size=(batch, 30, 5)), torch.float32)

    def infer() -> np.ndarray:
        with torch.inference_mode():
            return engine.download(model(window))

    return infer


def _risk(engine: ComputeEngine, scenarios: int) -> Run:
    returns = np.random.default_rng(0).normal(0.0, 0.01, (750, 100))
    book = Book.linear(quantities=np.ones(100), prices=np.full(100, 100.0))
    return lambda: assess(book, returns, scenarios=scenarios, engine=engine).es[0.99]


WORK: tuple[Work, ...] = (
    Work("option with Greeks, {:,} paths", 1_000_000, 20_000, _option, 1e-4),
    Work("RSI of {:,} series x 10,000 prices", 1, 1, _rsi, 1e-4),
    Work("RSI of {:,} series x 10,000 prices", 500, 4, _rsi, 1e-4),
    Work("matrix product, side {:,}", 2048, 128, _product, 1e-2),
    Work("LSTM inference, batch {:,} x 30 steps", 512, 8, _network, 1e-3),
    Work("VaR and ES of 100 assets, {:,} scenarios", 100_000, 2_000, _risk, 1e-3),
)


def compared(large: bool) -> Iterator[str]:
    """Measure every row on the CPU, and beside it on the GPU; yield the table's lines.

    Parameters
    ----------
    large : bool
        Sizes that are worth a GPU, or small ones.
    """
    device, cpu = metal_device_manager.engine(), shared_engine("cpu")
    has_gpu = device.device.type != "cpu"
    rows = [("work", "CPU ms", *((f"{device.device} ms", "CPU / GPU") if has_gpu else ()))]
    for work in WORK:
        size = work.full if large else work.quick
        answer, on_cpu = _timed(cpu, work.prepare(cpu, size))
        cells = [work.name.format(size), f"{on_cpu:.2f}"]
        if has_gpu:
            other, on_gpu = _timed(device, work.prepare(device, size))
            scale = np.abs(answer).max()
            agrees = np.allclose(answer, other, rtol=0.0, atol=work.tolerance * scale)
            cells += [f"{on_gpu:.2f}", f"{on_cpu / on_gpu:.2f}" if agrees else "ANSWERS DIFFER"]
        rows.append(tuple(cells))
    yield from table(rows).splitlines()
    yield f"median of {_ROUNDS} runs each, device idle before and after, {torch.get_num_threads()} CPU threads"
    if not has_gpu:
        yield "no GPU is used here: there is nothing to compare the CPU with"


def _timed(engine: ComputeEngine, run: Run) -> tuple[Any, float]:
    """Answer and median milliseconds of a piece of work, after one run that does not count."""
    answer = np.asarray(run())
    times = []
    for _ in range(_ROUNDS):
        engine.synchronize()
        started = time.perf_counter()
        run()
        engine.synchronize()
        times.append((time.perf_counter() - started) * 1e3)
    return answer, statistics.median(times)
