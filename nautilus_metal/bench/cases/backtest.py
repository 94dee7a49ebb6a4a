"""What three indicators cost for each bar of a real backtest: ours, beside the built-in ones of NautilusTrader."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nautilus_metal.bench.case import Case
from nautilus_metal.engine import ComputeEngine

MINUTE = 60_000_000_000  # nanoseconds
Values = tuple[float, ...]


class Problem(NamedTuple):
    """Backtest engines over the same bars, by the indicators of their strategy, and the closes."""

    runs: dict[str, tuple[Any, list[Any]]]
    closes: np.ndarray


def _prepare(_: ComputeEngine, bars: int) -> Problem:
    from nautilus_trader.model.data import Bar, BarType
    from nautilus_trader.model.objects import Quantity
    from nautilus_trader.test_kit.providers import TestInstrumentProvider

    instrument = TestInstrumentProvider.equity("AAPL", "XNAS")
    kind = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    price, size = instrument.make_price, Quantity.from_int(100)
    closes = np.round(100 + np.random.default_rng(0).normal(size=bars).cumsum() * 0.01, 2)
    data = []
    for i, close in enumerate(closes.tolist()):
        # High and low lie evenly about the close: the built-in bands use the typical price, ours may use the close.
        prices = (price(close), price(close + 0.02), price(close - 0.02), price(close))
        data.append(Bar(kind, *prices, size, i * MINUTE, i * MINUTE))
    return Problem({name: _engine(instrument, kind, data, held) for name, held in _indicators().items()}, closes)


def _indicators() -> dict[str, list[Any]]:
    from nautilus_trader.indicators import BollingerBands, MovingAverageConvergenceDivergence, RelativeStrengthIndex

    from nautilus_metal import MetalBollingerBands, MetalMACD, MetalRSI

    ours = (MetalRSI, MetalMACD, MetalBollingerBands)
    return {
        "none": [],
        "standard": [kind() for kind in ours],
        "nautilus_v1": [kind(convention="nautilus_v1") for kind in ours],
        "built-in": [
            RelativeStrengthIndex(14),
            MovingAverageConvergenceDivergence(12, 26),
            BollingerBands(20, 2.0),
        ],
    }


def _engine(instrument: Any, bar_type: Any, data: list[Any], held: list[Any]) -> tuple[Any, list[Any]]:
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.objects import Money
    from nautilus_trader.trading.strategy import Strategy

    class Holder(Strategy):
        def on_start(self) -> None:
            for indicator in held:
                self.register_indicator_for_bars(bar_type, indicator)
            self.subscribe_bars(bar_type)

        def on_bar(self, bar: Any) -> None:
            if held:
                rsi, macd, bands = held
                _ = rsi.value, macd.value, bands.upper, bands.middle, bands.lower

        def on_reset(self) -> None:
            for indicator in held:
                indicator.reset()

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    funds = [Money(1_000_000, USD)]
    engine.add_venue(instrument.id.venue, OmsType.NETTING, AccountType.CASH, funds, bar_execution=False)
    engine.add_instrument(instrument)
    engine.add_data(data)
    engine.add_strategy(Holder())
    return engine, held


def _run(name: str, problem: Problem) -> Values:
    engine, held = problem.runs[name]
    engine.reset()
    engine.run()
    if not held:
        return ()
    rsi, macd, bands = held
    return rsi.value, macd.value, bands.upper, bands.middle, bands.lower


def _batch(problem: Problem, convention: str) -> Values:
    """The last values of whole histories, computed on the host."""
    from nautilus_metal import MetalBollingerBands, MetalMACD, MetalRSI

    with ComputeEngine("cpu") as engine:
        rsi = MetalRSI(convention=convention).compute(problem.closes, engine)
        line = MetalMACD(convention=convention).compute(problem.closes, engine)[0]
        upper, middle, lower, *_ = MetalBollingerBands(convention=convention).compute(problem.closes, engine)
    return tuple(float(values[-1]) for values in (rsi, line, upper, middle, lower))


def _check(convention: str, problem: Problem, ours: Values, theirs: Values) -> None:
    """Every bar has reached every indicator: each side ends where the whole history of its convention ends."""
    for values, of in ((ours, convention), (theirs, "nautilus_v1")):
        np.testing.assert_allclose(values, _batch(problem, of), rtol=1e-9, atol=1e-9, err_msg=of)


def _finish(problem: Problem) -> None:
    for engine, _ in problem.runs.values():
        engine.dispose()


CASES = tuple(
    Case(
        name=f"backtest_{convention}",
        title=f"three indicators in a backtest, convention {convention}: time a bar over the run without any",
        sizes=({"bars": 100_000},),
        quick=({"bars": 500},),
        prepare=_prepare,
        ours=partial(_run, convention),
        peers={"built-in indicators": partial(_run, "built-in")},
        check=partial(_check, convention),
        per="bars",
        baseline=partial(_run, "none"),
        finish=_finish,
    )
    for convention in ("standard", "nautilus_v1")
)
