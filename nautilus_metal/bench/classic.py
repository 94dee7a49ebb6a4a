"""The rows of the older package's table on any device: options, RSI, a product, an LSTM, bandwidth and pool hits.

Its CPU column came from programs that nobody would run; here it is the strongest of what there is for the CPU: this
package itself, TA-Lib, numba, QuantLib, numpy and torch.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from nautilus_metal.bench.case import ON_CPU, Case, Result, strongest
from nautilus_metal.bench.cases import CASES
from nautilus_metal.bench.rates import Rates, measure_rates
from nautilus_metal.bench.runner import run
from nautilus_metal.bench.table import size_text
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.hardware import describe
from nautilus_metal.report.terminal import table
from nautilus_metal.risk import Book, assess

_ROWS: tuple[tuple[str, str], ...] = (
    ("price_european", "Monte Carlo option with Greeks"),
    ("rsi", "RSI of one history"),
    ("matmul", "matrix product"),
    ("lstm", "LSTM inference"),
)
_ON_DEVICE = "same device"  # what ends so runs where ours does: on a GPU it is no CPU side
_TICKS = 20


def classic_cases() -> list[Case]:
    """The four timed rows, each at the older table's size, beside every CPU peer."""
    rows = [(CASES[name], title) for name, title in _ROWS]
    return [
        replace(case, title=title, sizes=case.sizes[:1], quick=case.quick[:1], bounds={}, on_cpu=True)
        for case, title in rows
    ]


def classic_lines(engine: ComputeEngine, quick: bool = False) -> Iterator[str]:
    """Measure the rows on an engine's device and yield the page line by line.

    Parameters
    ----------
    engine : ComputeEngine
        Where ours runs.
    quick : bool
        Small sizes.
    """
    rates = measure_rates(engine, quick)
    yield from compared(classic_cases(), engine, quick, rates)
    yield f"bandwidth used: {_bandwidth(engine, rates)}"
    yield f"pool hit rate: {_hit_rate(engine):.1%} over {_TICKS} risk ticks of a book"


def compared(
    cases: Sequence[Case],
    engine: ComputeEngine,
    quick: bool,
    rates: Rates | None = None,
    without: Collection[str] = (),
) -> Iterator[str]:
    """Measure cases and yield a table of ours beside the strongest side that runs on the CPU.

    Parameters
    ----------
    cases : sequence of Case
        The rows.
    engine : ComputeEngine
        Where ours runs.
    quick : bool
        Small sizes.
    rates : Rates, optional
        Of the device, measured where not given.
    without : collection of str
        Peers that are left out.
    """
    on_gpu = engine.device.type != "cpu"
    rates = measure_rates(engine, quick) if rates is None else rates
    where = str(engine.device)
    rows: list[tuple[str, ...]] = [("work", "size", f"{where} ms", "fastest on the CPU", "its ms", f"CPU / {where}")]
    problems = []
    for case in cases:
        rivals = {name: peer for name, peer in case.peers.items() if name not in without}
        peers = {name: peer for name, peer in rivals.items() if not (on_gpu and name.endswith(_ON_DEVICE))}
        results = run([replace(case, peers=peers)], engine, quick, rates)
        rows += [_cells(case.title, result) for result in strongest(results)]
        problems += [f"{case.name} against {row.peer}: {row.problem}" for row in results if row.problem]
    yield from table(rows).splitlines()
    yield from problems
    if not on_gpu:
        yield "no GPU is used here: ours is on the CPU too"


def _cells(name: str, result: Result) -> tuple[str, ...]:
    assert result.ours is not None
    assert result.theirs is not None
    assert result.ratio is not None
    peer = "this package" if result.peer == ON_CPU else result.peer
    times = f"{1e3 * result.ours.median:.3f}", peer, f"{1e3 * result.theirs.median:.3f}"
    return name, size_text(result), *times, f"{result.ratio.median:.2f}"


def _bandwidth(engine: ComputeEngine, rates: Rates) -> str:
    """What the largest copy reached, and the share of what the maker states."""
    size, speed = max(rates.copy.items())
    used = f"{speed / 1e9:,.1f} GB/s by a copy of {size / 2**21:,.0f} MiB, read plus written"
    published = describe(engine.device.type, engine.device.index or 0).bandwidth
    if published is None:
        return f"{used}; none is published for this chip"
    return f"{used}; {speed / 1e9 / published:.0%} of the {published:,.0f} published"


def _hit_rate(engine: ComputeEngine) -> float:
    """Share of keyed loans that found their contents, over ticks of one book with an engine of its own."""
    returns = np.random.default_rng(0).normal(0.0, 0.01, (500, 20))
    book = Book.linear(quantities=np.ones(20), prices=np.full(20, 100.0))
    with ComputeEngine(engine.device) as fresh:
        for _ in range(_TICKS):
            assess(book, returns, scenarios=10_000, engine=fresh)
        rate = fresh.pool.stats().cache_hit_rate
    assert rate is not None, "a tick borrows its normals by key"
    return rate
