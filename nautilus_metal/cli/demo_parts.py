"""The parts of the demonstration: each yields the lines that it prints."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nautilus_metal.cli.demo_table import demo_table
from nautilus_metal.compat import (
    allocate_gpu_tensor,
    calculate_bollinger_bands_metal,
    calculate_macd_metal,
    calculate_rsi_metal,
    get_acceleration_status,
    get_memory_optimization_recommendations,
    get_memory_pool_stats,
    get_metal_capabilities,
    initialize_metal_acceleration,
    metal_device_manager,
    optimize_gpu_memory_layout,
    optimize_portfolio_metal,
    price_option_metal,
)
from nautilus_metal.engine import available_devices
from nautilus_metal.errors import InputError, OutOfDeviceMemory
from nautilus_metal.models import (
    Recipe,
    create_financial_lstm,
    create_metal_model_wrapper,
    create_metal_training_manager,
    make_samples,
)
from nautilus_metal.models.walk_forward import compare
from nautilus_metal.report.terminal import table
from nautilus_metal.risk.pricing import price_option

Array = NDArray[np.float64]
Row = tuple[str, ...]
_YEAR = 252
_STOCK = ("stock", "close", "RSI(14)", "MACD(12,26)", "signal", "lower band", "upper band", "in all signals")
_OBJECTIVE = ("objective", "return", "volatility", "95% shortfall", "largest", "gap", "status", "solver", "ms")


@dataclass(frozen=True)
class Size:
    """How much of everything is done.

    Attributes
    ----------
    simulations : int
        Paths of an option.
    days : int
        Of prices, from the last one back.
    epochs, samples : int
        Of training, both at most; of samples the last ones.
    large : bool
        Whether the table is measured on the sizes that are worth a GPU.
    """

    simulations: int
    days: int
    epochs: int
    samples: int
    large: bool


FULL = Size(simulations=1_000_000, days=8_000, epochs=10, samples=40_000, large=True)
QUICK = Size(simulations=20_000, days=600, epochs=2, samples=2_000, large=False)


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
    def returns(self) -> Array:
        """Simple ones, shape (D - 1, N)."""
        return np.diff(self.closes, axis=0) / self.closes[:-1]


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
    spot, strike, expiry, rate, volatility = 100.0, 110.0, 0.25, 0.05, 0.2
    found = asyncio.run(
        price_option_metal(spot, strike, expiry, rate, volatility, num_simulations=size.simulations)
    )
    exact: Any = price_option("call", spot=spot, strike=strike, expiry=expiry, rate=rate, volatility=volatility)
    yield f"European call: spot {spot:g}, strike {strike:g}, {expiry:g} years, rate {rate:g}, {volatility=:g}"
    rows: list[Row] = [("", "simulated", "standard error", "closed form", "difference in errors")]
    for name, value in {"price": exact.price, **exact.greeks}.items():
        simulated = found.option_price if name == "price" else getattr(found, name)
        error = found.standard_errors[name] or 0.0
        off = (simulated - value) / error if error else 0.0
        rows.append((name, f"{simulated:.5f}", f"{error:.5f}", f"{value:.5f}", f"{off:+.2f}"))
    yield from table(rows).splitlines()
    low, high = found.confidence_intervals["95%"]
    yield f"{found.num_simulations:,} paths on {found.device} in {found.computation_time_ms:.1f} ms"
    yield f"95% interval of the price {low:.4f} to {high:.4f}; implied volatility {found.implied_volatility or 0:.4f}"


def _indicators(size: Size, market: Prices) -> Iterator[str]:
    async def all_three(prices: Array) -> tuple[Any, Any, Any]:
        return (
            await calculate_rsi_metal(prices),
            await calculate_macd_metal(prices),
            await calculate_bollinger_bands_metal(prices),
        )

    yield f"{len(market.names)} stocks of the S&P 500, {len(market.days):,} days to {market.days[-1]}; the last close"
    rows: list[Row] = [_STOCK]
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


def _training(size: Size, market: Prices) -> Iterator[str]:
    # open, high, low and volume are not there, and the features read none of them
    bars = np.broadcast_to(market.closes.T[:, None], (len(market.names), 5, len(market.days)))
    samples = make_samples(np.ascontiguousarray(bars), Recipe())
    days = np.unique(samples.at[-size.samples :])
    test_from, judge_from = int(days[int(0.8 * len(days))]), int(days[int(0.7 * len(days))])
    past = samples.between(int(days[0]), test_from).known_at(test_from)
    train, judge = past.known_at(judge_from), past.between(judge_from, test_from)
    test = samples.between(test_from, len(market.days))
    torch.manual_seed(0)
    network = create_financial_lstm(input_size=3, hidden_size=16, num_layers=1)
    wrapper = create_metal_model_wrapper(network, metal_device_manager.engine())
    result = create_metal_training_manager(wrapper).train_model(
        train.inputs, train.targets, validation=(judge.inputs, judge.targets), epochs=size.epochs, patience=3
    )
    count = sum(weights.numel() for weights in network.parameters())
    yield f"LSTM of {count:,} weights: tomorrow's return from 20 days, trained on {result.device}"
    yield f"{len(train):,} samples to learn from, {len(judge):,} to stop by, the last {len(test):,} to judge by"
    losses = " ".join(f"{loss:.4f}" for loss in result.validation_losses)
    yield f"validation loss by epoch {losses}; the best is epoch {result.best_epoch}, in {result.seconds:.1f} s"
    forecasts = wrapper(test.inputs).numpy()[:, 0] * test.scale
    for score in compare(test, forecasts):
        against = f"; the network is {score.verdict}" if score.verdict else ""
        yield f"{score.name:<13} root mean squared error {score.rmse:.6f}{against}"


def _memory(size: Size, market: Prices) -> Iterator[str]:
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


def _portfolio(size: Size, market: Prices) -> Iterator[str]:
    returns = market.returns[-5 * _YEAR :]
    equal = np.full(len(market.names), 1.0 / len(market.names))
    constraints = {"upper": 0.2, "turnover": 1.5}
    yield f"{len(market.names)} stocks, {len(returns):,} daily returns; at most 20% each, 150% of trading from equal"
    rows: list[Row] = [_OBJECTIVE]
    rows.append(("(equal weights)", *_figures(returns, equal), "", "", "", ""))
    for objective in ("minimum_variance", "maximum_sharpe", "minimum_cvar", "risk_parity", "hrp"):
        bounded = constraints if objective not in ("risk_parity", "hrp") else None
        found = optimize_portfolio_metal(equal, returns, bounded, objective=objective)
        gap = "none" if found.gap is None else f"{found.gap:.0e}"
        last = (gap, found.status, found.solver, f"{found.computation_time_ms:.0f}")
        rows.append((objective, *_figures(returns, found.optimal_weights), *last))
    yield from table(rows).splitlines()
    yield "return and volatility a year, shortfall a day, all of the days that the weights were found on;"
    yield "risk parity and HRP know no trading limit, and are long only here without the bound"


def _figures(returns: Array, weights: Array) -> Row:
    """Return, volatility, expected shortfall by the sample and largest weight, as text."""
    days = returns @ weights
    worst = np.sort(days)[: max(1, round(0.05 * len(days)))]
    year = (days.mean() * _YEAR, days.std() * _YEAR**0.5, -worst.mean(), weights.max())
    return tuple(f"{figure:.1%}" for figure in year)


def _comparison(size: Size, market: Prices) -> Iterator[str]:
    yield from demo_table(size.large)


Part = Callable[[Size, Prices], Iterator[str]]
PARTS: tuple[tuple[str, Part], ...] = (
    ("Hardware", _hardware),
    ("Option pricing with Greeks, against the closed form", _options),
    ("Technical indicators on real prices", _indicators),
    ("A short training", _training),
    ("Memory pool", _memory),
    ("Portfolio optimisation", _portfolio),
    ("GPU against CPU on this machine", _comparison),
)
