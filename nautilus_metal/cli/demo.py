"""`nautilus-metal demo`: everything at work on this machine, in one run, with the figures as they come out."""

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.errors import InputError, OutOfDeviceMemory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How much of everything is done.

    Attributes
    ----------
    simulations : int
        Paths of an option.
    days : int
        Of prices, from the last one back.
    epochs : int
        Of training, at most.
    large : bool
        Whether the table is measured on the sizes that are worth a GPU.
    """

    simulations: int
    days: int
    epochs: int
    large: bool


FULL = Size(simulations=1_000_000, days=8_000, epochs=12, large=True)
QUICK = Size(simulations=20_000, days=600, epochs=2, large=False)


def add_demo(commands: argparse._SubParsersAction) -> None:
    """Add the command with its options."""
    command = commands.add_parser(
        "demo",
        help="show everything at work: options, indicators, training, memory, portfolios, GPU against CPU",
        description="A tour of the package on the best device here, about a minute. FORCE_CPU_FALLBACK=1 keeps to "
        "the CPU.",
    )
    command.add_argument("--quick", action="store_true", help="small sizes: a look in some seconds")
    command.set_defaults(action=demo)


def demo(arguments: argparse.Namespace) -> int:
    """Run every part and print what it finds.

    Returns
    -------
    int
        0.

    Raises
    ------
    InputError
        If the package that the prices come with is not installed.
    """
    size = QUICK if arguments.quick else FULL
    market = load_market(size.days)
    started = time.perf_counter()
    for number, (title, part) in enumerate(PARTS, 1):
        print(f"[{number}/{len(PARTS)}] {title}", flush=True)
        begun = time.perf_counter()
        for line in part(size, market):
            print(f"  {line}", flush=True)
        print(f"  ({time.perf_counter() - begun:.1f} s)\n", flush=True)
    print(f"All {len(PARTS)} parts in {time.perf_counter() - started:.1f} s")
    return 0


@dataclass(frozen=True, eq=False)
class Prices:
    """Closes of real stocks.

    Attributes
    ----------
    names, days : tuple of str
        N stocks, D days.
    closes : ndarray, shape (D, N)
        Adjusted for splits and dividends.
    """

    names: tuple[str, ...]
    days: tuple[str, ...]
    closes: Array

    @property
    def log_returns(self) -> Array:
        """Shape (D - 1, N)."""
        return np.diff(np.log(self.closes), axis=0)


def load_market(days: int) -> Prices:
    """Load the last days of 20 stocks of the S&P 500, which come with skfolio."""
    try:
        from skfolio.datasets import load_sp500_dataset
    except ImportError:
        raise InputError(
            "the demonstration's prices come with skfolio: pip install 'nautilus_metal[examples]'"
        ) from None
    frame = load_sp500_dataset().iloc[-days:]
    dates = tuple(str(day.date()) for day in frame.index)
    return Prices(tuple(map(str, frame.columns)), dates, frame.to_numpy(dtype=np.float64))


def _hardware(size: Size, market: Prices) -> Iterator[str]:
    from nautilus_metal.compat import get_acceleration_status, get_metal_capabilities, initialize_metal_acceleration
    from nautilus_metal.engine import available_devices

    status = initialize_metal_acceleration(enable_logging=False)
    facts = get_metal_capabilities()
    found = get_acceleration_status()
    yield f"devices         {', '.join(['cpu'] if status['forced_cpu'] else available_devices())}"
    yield f"computing on    {status['device']}: {status['device_name']}, most exact type {facts['exact_precision']}"
    cores = " + ".join(f"{count} {name}" for name, count in facts["cpu_cores"])
    known = {
        "GPU cores": facts["gpu_cores"],
        "CPU cores": cores or None,
        "GB/s published": None if facts["bandwidth"] is None else f"{facts['bandwidth']:.0f}",
        "system": facts["system"],
    }
    yield "known of it     " + ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    conditions = found["conditions"]
    yield f"memory          the pool may hold {status['memory_budget_mb']:,.0f} MiB"
    heat, pressure = conditions["thermal"] or "unknown", conditions["memory"] or "unknown"
    yield f"conditions      heat {heat}, memory pressure {pressure}"
    yield f"Metal           {'available' if status['metal_available'] else 'not here'}"
    for error in status["errors"]:
        yield f"DOES NOT WORK   {error}"


def _options(size: Size, market: Prices) -> Iterator[str]:
    from nautilus_metal.compat import price_option_metal
    from nautilus_metal.report.terminal import table
    from nautilus_metal.risk.pricing import price_option

    terms = {"spot": 100.0, "strike": 110.0, "expiry": 0.25, "rate": 0.05, "volatility": 0.2}
    found = asyncio.run(price_option_metal(*terms.values(), num_simulations=size.simulations))
    exact = price_option("call", **terms)  # type: ignore[arg-type]
    yield f"European call: {', '.join(f'{name} {value:g}' for name, value in terms.items())}"
    rows = [("", "simulated", "standard error", "closed form", "difference in errors")]
    for name, value in {"price": exact.price, **exact.greeks}.items():
        simulated = found.option_price if name == "price" else getattr(found, name)
        error = found.standard_errors[name]
        off = (simulated - value) / error if error else 0.0
        rows.append((name, f"{simulated:.5f}", f"{error:.5f}", f"{value:.5f}", f"{off:+.2f}"))
    yield from table(rows).splitlines()
    low, high = found.confidence_intervals["95%"]
    yield f"{found.num_simulations:,} paths on {found.device} in {found.computation_time_ms:.1f} ms"
    yield f"95% interval of the price {low:.4f} to {high:.4f}; implied volatility {found.implied_volatility or 0:.4f}"


def _indicators(size: Size, market: Prices) -> Iterator[str]:
    from nautilus_metal.compat import calculate_bollinger_bands_metal, calculate_macd_metal, calculate_rsi_metal
    from nautilus_metal.report.terminal import table

    async def all_three(prices: Array) -> tuple[Any, Any, Any]:
        return (
            await calculate_rsi_metal(prices),
            await calculate_macd_metal(prices),
            await calculate_bollinger_bands_metal(prices),
        )

    yield f"{len(market.names)} stocks of the S&P 500, {len(market.days):,} days to {market.days[-1]}; the last close"
    rows = [("stock", "close", "RSI(14)", "MACD(12,26)", "signal", "lower band", "upper band", "in all signals")]
    spent = 0.0
    for column, name in enumerate(market.names):
        rsi, macd, bands = asyncio.run(all_three(np.ascontiguousarray(market.closes[:, column])))
        spent += rsi.computation_time_ms + macd.computation_time_ms + bands.computation_time_ms
        counts = [int((found.signals == side).sum()) for side in ("buy", "sell") for found in (rsi, macd, bands)]
        last = (market.closes[-1, column], rsi.values[-1], macd.values[-1], macd.signal_line[-1])
        figures = (*last, bands.lower_band[-1], bands.upper_band[-1])
        rows.append((name, *(f"{x:.2f}" for x in figures), f"{sum(counts[:3])} buy, {sum(counts[3:])} sell"))
    lines = table(rows).splitlines()
    yield from lines[: 2 + 6]
    yield f"... and {len(lines) - 8} more; all {3 * len(market.names)} histories in {spent:.1f} ms on {rsi.device}"


def _memory(size: Size, market: Prices) -> Iterator[str]:
    from nautilus_metal.compat import (
        allocate_gpu_tensor,
        get_acceleration_status,
        get_memory_optimization_recommendations,
        get_memory_pool_stats,
        metal_device_manager,
        optimize_gpu_memory_layout,
    )

    with allocate_gpu_tensor((1000, 1000), cache_key="demo") as tensor:
        tensor.fill_(1.0)
    before = get_memory_pool_stats()
    with allocate_gpu_tensor((1000, 1000), cache_key="demo") as tensor:
        yield f"a tensor by its key     found as it was left: {bool((tensor == 1.0).all())}"
    after = get_memory_pool_stats()
    again = after.allocation_count == before.allocation_count
    yield f"its memory              {'lent again' if again else 'taken from torch anew'}"
    with allocate_gpu_tensor((1 << 22,)), allocate_gpu_tensor((1 << 20,)):
        stats = get_memory_pool_stats()
        held = stats.total_allocated_mb
        yield f"two more on loan        {stats.active_blocks} active, the pool holds {held:.1f} MiB"
    freed = optimize_gpu_memory_layout()
    was, now = freed["reserved_mb_before"], freed["reserved_mb_after"]
    yield f"free blocks given back  {was:.1f} to {now:.1f} MiB reserved"
    config, total = metal_device_manager.config, get_acceleration_status()["memory_stats"]["total_mb"]
    before_fraction, config.memory_fraction = config.memory_fraction, 16.0 / total
    try:
        with allocate_gpu_tensor((1 << 23,)):
            yield "32 MiB of a budget of 16 was lent"
    except OutOfDeviceMemory as error:
        yield f"over the budget         refused: {error}"
    finally:
        config.memory_fraction = before_fraction
    rate = get_memory_pool_stats().cache_hit_rate
    yield f"hits by key             {'none asked for' if rate is None else f'{rate:.0%}'}"
    for advice in get_memory_optimization_recommendations():
        yield f"advice                  {advice}"


def _comparison(size: Size, market: Prices) -> Iterator[str]:
    from nautilus_metal.cli.demo_table import compared

    yield from compared(size.large)


Part = Callable[[Size, Prices], Iterator[str]]
PARTS: tuple[tuple[str, Part], ...] = (
    ("Hardware", _hardware),
    ("Option pricing with Greeks, against the closed form", _options),
    ("Technical indicators on real prices", _indicators),
    ("Memory pool", _memory),
    ("GPU against CPU on this machine", _comparison),
)
