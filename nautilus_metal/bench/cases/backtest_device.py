"""A whole backtest with a RiskActor: where placement puts its work, beside always the CPU and always the device."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nautilus_metal.bench.case import Case, NothingToCompareError, Result
from nautilus_metal.bench.cases.placement import ON_CPU, ON_DEVICE
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.placement import crossover
from nautilus_metal.engine.placement_store import calibrate
from nautilus_metal.engine.placement_work import WORK

ASSETS, HISTORY = 20, 30  # instruments, and days before the first report
LEVELS = (0.95, 0.99)
DAY = 86_400_000_000_000  # nanoseconds
_AGREE = 2e-4  # of a figure, between float32 on two devices


class Run(NamedTuple):
    """A backtest engine, the reports of its last run, and how many of them are to have figures."""

    engine: Any
    heard: list[Any]
    reports: int


Problem = dict[str, Run]  # by where the risk is computed


def _prepare(engine: ComputeEngine, reports: int, scenarios: int) -> Problem:
    if engine.device.type == "cpu":
        raise NothingToCompareError("the CPU is the only device that is used here: there is nothing to choose")
    calibrate(engine, WORK)  # what "auto" goes by, once for a user and a device
    places = {"auto": "auto", ON_CPU: "cpu", ON_DEVICE: str(engine.device)}
    return {name: backtest(place, reports, scenarios) for name, place in places.items()}


def backtest(device: str, reports: int, scenarios: int) -> Run:
    """Make a backtest of daily bars in which 20 shares are bought and a RiskActor reports after each day's close.

    Parameters
    ----------
    device : str
        Of its `MetalEngineConfig`.
    reports : int
        Days with a report on what is held.
    scenarios : int
        Of each report.
    """
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.objects import Money
    from nautilus_trader.test_kit.providers import TestInstrumentProvider

    from nautilus_metal.actors import MetalEngineActor, MetalEngineConfig, RiskActor, RiskActorConfig
    from nautilus_metal.messages import RISK_REPORT_TOPIC

    instruments = [TestInstrumentProvider.equity(f"S{i:02}", "XNAS") for i in range(ASSETS)]
    kinds = tuple(BarType.from_str(f"{one.id}-1-DAY-LAST-EXTERNAL") for one in instruments)
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(instruments[0].id.venue, OmsType.NETTING, AccountType.CASH, [Money(10_000_000, USD)])
    closes = _closes(reports + HISTORY)
    for instrument, kind, own in zip(instruments, kinds, closes, strict=True):
        engine.add_instrument(instrument)
        engine.add_data(_bars(instrument, kind, own), sort=False)
    engine.sort_data()
    engine.add_actor(MetalEngineActor(MetalEngineConfig(device=device)))
    config = RiskActorConfig(
        bar_types=kinds, window=250, min_observations=HISTORY, warm_up=False, model="normal", levels=LEVELS,
        scenarios=scenarios,
    )  # fmt: skip
    engine.add_actor(RiskActor(config))
    engine.add_strategy(_buyer(kinds))
    heard: list[Any] = []
    engine.kernel.msgbus.subscribe(topic=RISK_REPORT_TOPIC, handler=heard.append)
    return Run(engine, heard, reports)


def _closes(days: int) -> np.ndarray:
    """Prices of shares with a market in common, shape (assets, days)."""
    draw = np.random.default_rng(4)
    moves = 0.008 * draw.normal(size=days) + 0.012 * draw.normal(size=(ASSETS, days))
    return np.round(100 * np.exp(moves.cumsum(axis=1)), 2)


def _bars(instrument: Any, kind: Any, closes: np.ndarray) -> list[Any]:
    from nautilus_trader.model.data import Bar
    from nautilus_trader.model.objects import Quantity

    size = Quantity.from_int(1_000_000)
    prices = [instrument.make_price(close) for close in closes.tolist()]
    return [Bar(kind, *[price] * 4, size, i * DAY, i * DAY) for i, price in enumerate(prices, 1)]


def _buyer(kinds: Sequence[Any]) -> Any:
    from nautilus_trader.model.enums import OrderSide
    from nautilus_trader.model.objects import Quantity
    from nautilus_trader.trading.strategy import Strategy

    class Buyer(Strategy):
        def on_start(self) -> None:
            for kind in kinds:
                self.subscribe_bars(kind)

        def on_bar(self, bar: Any) -> None:
            instrument = bar.bar_type.instrument_id
            if self.portfolio.is_flat(instrument):
                self.submit_order(self.order_factory.market(instrument, OrderSide.BUY, Quantity.from_int(100)))

    return Buyer()


def _run(place: str, problem: Problem) -> list[Any]:
    """The reports that cover what is held: those of the first days do not."""
    engine, heard, _ = problem[place]
    engine.reset()
    heard.clear()
    engine.run()
    return [report for report in heard if report.positions]


def _check(problem: Problem, ours: list[Any], theirs: list[Any]) -> None:
    """Every report is there on both sides, of every share, with the same figures."""
    whole = [ASSETS] * problem["auto"].reports
    for reports in (ours, theirs):
        covered = [len(report.positions) for report in reports]
        assert covered == whole, f"the reports cover {covered} shares"
    np.testing.assert_allclose(_figures(ours), _figures(theirs), rtol=_AGREE)


def _figures(reports: Sequence[Any]) -> np.ndarray:
    return np.array([[row[name] for row in one.levels.values() for name in ("var", "es")] for one in reports])


def _finish(problem: Problem) -> None:
    for run in problem.values():
        run.engine.dispose()


def gains(results: Sequence[Result]) -> dict[int, float]:
    """By scenarios, in their order: how many times faster than on the CPU the backtest was on the device."""
    times: dict[int, dict[str, float]] = {}
    for result in results:
        if result.theirs is not None:
            times.setdefault(result.size["scenarios"], {})[result.peer] = result.theirs.median
    return {size: row[ON_CPU] / row[ON_DEVICE] for size, row in sorted(times.items()) if len(row) == 2}


def crossing(gained: Mapping[int, float]) -> float | None:
    """Scenarios from which on the device was faster at every measured count, interpolated on logarithmic axes.

    The smallest count where it was faster at all of them; None where it was not at the largest.
    """
    sizes, logs = list(gained), [math.log(gain) for gain in gained.values()]
    behind = max((i for i, gain in enumerate(logs) if gain < 0), default=-1)
    if behind == len(logs) - 1:
        return None
    if behind < 0:
        return float(sizes[0])
    (size, above), (gain, ahead) = sizes[behind : behind + 2], logs[behind : behind + 2]
    return float(size * (above / size) ** (gain / (gain - ahead)))


def _remark(results: Sequence[Result], engine: ComputeEngine) -> str | None:
    if engine.device.type == "cpu":
        return None
    gained, placed = gains(results), crossover(calibrate(engine, WORK), "losses")
    each = ", ".join(f"{gain:.2f} at {size:,}" for size, gain in gained.items())
    return (
        f"A backtest of {ASSETS} shares is faster on {engine.device} {_from(crossing(gained))} (times as fast as "
        f"on the CPU: {each}); placement takes it there {_from(None if placed is None else placed / ASSETS)}"
    )


def _from(scenarios: float | None) -> str:
    return "at no size" if scenarios is None else f"from {scenarios:,.0f} scenarios on"


CASES = (
    Case(
        name="placement_backtest",
        title=f"a backtest whose RiskActor reports on {ASSETS} shares daily: placement's choice, beside each place",
        sizes=tuple({"reports": 20, "scenarios": count} for count in (1_000, 10_000, 100_000, 1_000_000)),
        quick=({"reports": 3, "scenarios": 1_000},),
        prepare=_prepare,
        ours=partial(_run, "auto"),
        peers={ON_CPU: partial(_run, ON_CPU), ON_DEVICE: partial(_run, ON_DEVICE)},
        check=_check,
        per="reports",
        finish=_finish,
        remark=_remark,
    ),
)
