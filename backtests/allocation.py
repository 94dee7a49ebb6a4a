"""33 years of 20 real stocks: each month the weights of least expected shortfall, against equal weights.

Runs by `python backtests/allocation.py` and by `nautilus-metal backtest allocation`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import numpy as np  # noqa: E402
from nautilus_trader.model import Money  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from backtests._common import STARTING_CASH, Listener, prepare, progress_of, title_of  # noqa: E402
from backtests._data import VENUE, Market, sp500_stocks  # noqa: E402
from nautilus_metal.actors import (  # noqa: E402
    AllocationActor,
    AllocationActorConfig,
    MetalEngineActor,
    MetalEngineConfig,
)
from nautilus_metal.cli.backtest import script_main  # noqa: E402
from nautilus_metal.cli.options import BacktestOptions  # noqa: E402
from nautilus_metal.errors import InputError  # noqa: E402
from nautilus_metal.host.backtest import (  # noqa: E402
    USD,
    AccountType,
    BacktestEngine,
    FeeModel,
    OmsType,
    add_instruments,
    fills_of,
    silent_engine,
)
from nautilus_metal.messages import ALLOCATION_TARGET_TOPIC, AllocationTarget  # noqa: E402
from nautilus_metal.report.run import date_text  # noqa: E402
from strategies.rebalancer import Rebalancer, RebalancerConfig  # noqa: E402

WINDOW, MIN_OBSERVATIONS = 1_000, 250
LEVEL, MOST_WEIGHT = 0.95, 0.20
FEE = 0.001  # of what is traded: commission, spread and impact together
RESERVE = 0.005
DAYS_A_YEAR = 252
BOOKS = {"minimum_cvar": "minimum CVaR", "equal_weight": "equal weight"}

NOTES = (
    "Prices: 20 stocks of the S&P 500 from skfolio's bundled data set (1990 to 2022), closes adjusted for splits and "
    "dividends. The stocks are survivors, chosen by the data set's makers: both books profit from that, and neither "
    "figure says what an investor of 1990 would have earned.",
    "On the first trading day of each month both books trade at the close on which they decide, in whole shares, and "
    f"pay {FEE:.2%} of what they trade. Cash earns nothing.",
    f"Minimum CVaR: least {LEVEL:.0%} expected shortfall of the last {WINDOW:,} daily returns (from "
    f"{MIN_OBSERVATIONS} on), long only, at most {MOST_WEIGHT:.0%} in a stock; each target carries the proof that it "
    "lies within 0.001% of the least. Window, cap, level and fee were never varied.",
)


class ProportionalFee(FeeModel):
    """A share of what is traded."""

    def get_commission(self, order: Any, fill_qty: Any, fill_px: Any, instrument: Any) -> Money:
        """Return the fee of one fill."""
        return Money(fill_qty.as_double() * fill_px.as_double() * FEE, instrument.quote_currency)


@dataclass(frozen=True)
class Fill:
    """What one fill moved."""

    ts: int
    column: int
    quantity: float
    price: float
    fee: float


@dataclass(frozen=True)
class Figures:
    """What a book did from its first trade on. Rates are yearly, the shortfall is of a day; losses are positive."""

    yearly_return: float
    volatility: float
    expected_shortfall: float
    worst_drawdown: float
    yearly_turnover: float
    yearly_cost: float
    final_equity: float
    orders: int
    targets: int
    largest_gap: float | None
    inaccurate_targets: int


@dataclass(frozen=True, eq=False)
class Book:
    """One run of the engine."""

    fills: tuple[Fill, ...]
    targets: tuple[AllocationTarget, ...]
    refused: Mapping[str, int]
    equity: float
    orders: int
    seconds: float


def build(market: Market, objective: str, options: BacktestOptions) -> tuple[BacktestEngine, Rebalancer]:
    """Make the engine with data, actor and strategy: what a user's own script would hold."""
    engine = silent_engine()
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=USD,
        starting_balances=[Money(STARTING_CASH, USD)],
        fee_model=ProportionalFee(),
    )
    add_instruments(engine, market.instruments)
    for column in range(len(market.instruments)):
        engine.add_data(market.bars(column), sort=False)
    engine.sort_data()
    engine.add_actor(MetalEngineActor(MetalEngineConfig(device=options.device, seed=options.seed)))
    engine.add_actor(
        AllocationActor(
            AllocationActorConfig(
                bar_types=market.bar_types,
                objective=objective,
                window=WINDOW,
                min_observations=MIN_OBSERVATIONS,
                upper=MOST_WEIGHT,
                level=LEVEL,
            )
        )
    )
    strategy = Rebalancer(RebalancerConfig(reserve=RESERVE))
    engine.add_strategy(strategy)
    return engine, strategy


def execute(market: Market, objective: str, options: BacktestOptions) -> Book:
    """Run the engine once."""
    engine, strategy = build(market, objective, options)
    targets: list[AllocationTarget] = []
    progress = progress_of(options, len(market.ts), objective, unit="targets")
    engine.add_actor(Listener(ALLOCATION_TARGET_TOPIC, market.bar_types[-1], progress, targets.append))
    start = perf_counter()
    try:
        engine.run()
        equity = engine.portfolio.equity(VENUE)[USD].as_double()
        orders = engine.cache.orders_total_count()
        fills = fills_by_column(engine, market)
    finally:
        if progress:
            progress.finish()
        engine.dispose()
    return Book(fills, tuple(targets), dict(strategy.refused), equity, orders, perf_counter() - start)


def fills_by_column(engine: BacktestEngine, market: Market) -> tuple[Fill, ...]:
    """Read what was traded, in order of time."""
    columns = {name: column for column, name in enumerate(market.names)}
    return tuple(
        Fill(
            event.ts_event,
            columns[str(event.instrument_id)],
            event.last_qty.as_double() * (1 if event.is_buy else -1),
            event.last_px.as_double(),
            event.commission.as_double(),
        )
        for event in fills_of(engine.cache)
    )


def daily_equity(book: Book, market: Market) -> NDArray[np.float64]:
    """Work the equity at each close out of the fills alone; shape (days,)."""
    held = np.zeros_like(market.close)
    cash = np.full(len(market.ts), float(STARTING_CASH))
    for fill in book.fills:
        day = int(np.searchsorted(market.ts, fill.ts, side="right")) - 1
        held[day:, fill.column] += fill.quantity
        cash[day:] -= fill.quantity * fill.price + fill.fee
    return cash + (held * market.close).sum(axis=1)


def figures(book: Book, equity: NDArray[np.float64], first: int) -> Figures:
    """Sum a book up from the close of its first trade."""
    path = equity[first:]
    returns = path[1:] / path[:-1] - 1
    years = len(returns) / DAYS_A_YEAR
    beyond = len(returns) * (1 - LEVEL)
    worst = np.sort(-returns)[::-1]
    shares = np.clip(beyond - np.arange(len(worst)), 0, 1)
    traded = sum(abs(fill.quantity) * fill.price for fill in book.fills)
    gaps = [target.gap / abs(target.value) for target in book.targets if target.gap is not None]
    return Figures(
        yearly_return=float((path[-1] / path[0]) ** (1 / years) - 1),
        volatility=float(returns.std(ddof=1) * DAYS_A_YEAR**0.5),
        expected_shortfall=float(shares @ worst / beyond),
        worst_drawdown=float((1 - path / np.maximum.accumulate(path)).max()),
        yearly_turnover=float(traded / path.mean() / years),
        yearly_cost=float(sum(fill.fee for fill in book.fills) / path.mean() / years),
        final_equity=float(path[-1]),
        orders=book.orders,
        targets=len(book.targets),
        largest_gap=max(gaps, default=None),
        inaccurate_targets=sum(target.status != "optimal" for target in book.targets),
    )


def difference(paths: Mapping[str, NDArray[np.float64]], first: int) -> tuple[float, float]:
    """Mean yearly log return of the first book over the second, and its standard error for independent days."""
    one, other = (np.diff(np.log(path[first:])) for path in paths.values())
    gap = one - other
    return float(gap.mean() * DAYS_A_YEAR), float(gap.std(ddof=1) / len(gap) ** 0.5 * DAYS_A_YEAR)


def table(results: Mapping[str, Figures], over: tuple[float, float]) -> str:
    """Write the closing table."""
    rows = {
        "return, yearly": ("yearly_return", ".2%"),
        "volatility, yearly": ("volatility", ".2%"),
        f"CVaR {LEVEL:.0%}, of a day": ("expected_shortfall", ".2%"),
        "worst drawdown": ("worst_drawdown", ".1%"),
        "turnover, yearly": ("yearly_turnover", ".2f"),
        "costs, yearly": ("yearly_cost", ".2%"),
        "equity at the end": ("final_equity", ",.0f"),
        "orders": ("orders", ",d"),
        "targets": ("targets", ",d"),
    }
    lines = ["".ljust(22) + "".join(BOOKS[name].rjust(16) for name in results)]
    for label, (name, style) in rows.items():
        cells = (format(getattr(one, name), style).rjust(16) for one in results.values())
        lines.append(label.ljust(22) + "".join(cells))
    words = f"{over[0]:+.2%} a year, standard error {over[1]:.2%}"
    lines.append(f"\nMean log return of the first book less that of the second: {words}.")
    return "\n".join(lines)


def run(options: BacktestOptions) -> int:
    """Run both books and write their outputs.

    Parameters
    ----------
    options : BacktestOptions
        The user's choices; models and scenarios are not used, as history itself is the sample.

    Returns
    -------
    int
        The exit code.
    """
    market = sp500_stocks(options.start, options.end)
    prepare(options)
    books = {objective: execute(market, objective, options) for objective in BOOKS}
    if not all(book.fills for book in books.values()):
        raise InputError(f"`start` and `end` must leave more than {MIN_OBSERVATIONS} days, left {len(market.ts)}")
    paths = {name: daily_equity(book, market) for name, book in books.items()}
    firsts = [int(np.searchsorted(market.ts, book.fills[0].ts, side="right")) - 1 for book in books.values()]
    results = {name: figures(book, paths[name], max(firsts)) for name, book in books.items()}
    over = difference(paths, max(firsts))
    title = title_of(f"Monthly minimum CVaR against equal weight: {len(market.instruments)} stocks", market)
    summary = {
        "title": title,
        "first_trade": date_text(market.ts[max(firsts)]),
        "books": {name: asdict(one) for name, one in results.items()},
        "log_return_difference": {"yearly": over[0], "standard_error": over[1]},
        "unexplained": {name: book.equity - float(paths[name][-1]) for name, book in books.items()},
        "refused": {name: dict(book.refused) for name, book in books.items()},
        "device": books["minimum_cvar"].targets[-1].device,
        "wall_seconds": {name: book.seconds for name, book in books.items()},
        "notes": NOTES,
    }
    (options.out / "summary.json").write_text(json.dumps(summary, indent=1))
    _write_paths(options.out / "equity.csv", market, paths)
    _write_weights(options.out / "weights.csv", market, books["minimum_cvar"].targets)
    print(f"{title}\n\n{table(results, over)}\n\n" + "\n".join(f"- {note}" for note in NOTES))
    seconds = sum(book.seconds for book in books.values())
    print(f"\n{seconds:.0f} s; summary.json, equity.csv, weights.csv in {options.out}")
    return 0


def _write_paths(path: Path, market: Market, paths: Mapping[str, NDArray[np.float64]]) -> None:
    rows = (
        ",".join([date_text(ts), *(f"{one[day]:.2f}" for one in paths.values())])
        for day, ts in enumerate(market.ts)
    )
    path.write_text("\n".join([",".join(["day", *paths]), *rows]) + "\n")


def _write_weights(path: Path, market: Market, targets: tuple[AllocationTarget, ...]) -> None:
    lines = [",".join(["day", *market.names])]
    for target in targets:
        shares = (f"{target.weights.get(name, 0.0):.6f}" for name in market.names)
        lines.append(",".join([date_text(target.ts_event), *shares]))
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(script_main("allocation", run))
