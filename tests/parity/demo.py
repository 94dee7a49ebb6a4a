"""Small demo backtests that run under either version of NautilusTrader and return the logs of their events.

``python -m tests.parity.demo`` under v1 writes `log_v1.json`, with which the test compares the installed host. Actors
and strategies are one source; only instruments, quotes and the engine are made in the words of each host.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nautilus_metal.actors import (
    AllocationActor,
    AllocationActorConfig,
    ForecastActor,
    ForecastActorConfig,
    HedgeActor,
    HedgeActorConfig,
    MetalEngineActor,
    MetalEngineConfig,
    RiskActor,
    RiskActorConfig,
    ValidationActor,
    ValidationActorConfig,
)
from nautilus_metal.host import BarType, InstrumentId, OrderSide, Strategy, StrategyConfig
from nautilus_metal.indicators import MetalBollingerBands, MetalMACD, MetalRSI
from nautilus_metal.kernels import black_scholes
from nautilus_metal.messages import (
    ALLOCATION_TARGET_TOPIC,
    FORECAST_TOPIC,
    GREEKS_REPORT_TOPIC,
    HEDGE_REQUEST_TOPIC,
    MODEL_VERDICT_TOPIC,
    RISK_BREACH_TOPIC,
    RISK_REPORT_TOPIC,
    Forecast,
    RiskReport,
)
from strategies.hedger import Hedger, HedgerConfig
from strategies.rebalancer import Rebalancer, RebalancerConfig
from strategies.risk_scaled import RiskScaled, RiskScaledConfig
from strategies.rsi_reversion import RSIReversion, RSIReversionConfig
from strategies.short_straddle import ShortStraddle, ShortStraddleConfig
from tests.actors.forecast_cases import save
from tests.hosts import MAJOR

if MAJOR == 1:
    from tests.parity.host_v1 import Market
else:
    from tests.parity.host_v2 import Market

FILE = Path(__file__).with_name("log_v1.json")
A, B, C = (f"{name}.XNYS" for name in ("AAA", "BBB", "CCC"))
TOPICS = (
    RISK_REPORT_TOPIC,
    RISK_BREACH_TOPIC,
    GREEKS_REPORT_TOPIC,
    HEDGE_REQUEST_TOPIC,
    ALLOCATION_TARGET_TOPIC,
    MODEL_VERDICT_TOPIC,
    FORECAST_TOPIC,
)
NOT_COMPARED = ("milliseconds", "pool_hit_rate", "checkpoint")  # wall time, the pool's past, and a file
DAY = 86_400 * 10**9
CPU = MetalEngineConfig(device="cpu")


class Watcher(Strategy):
    """Notes the outputs of indicators at each bar, all messages, and its positions when one of its orders fills.

    It sells an instrument at its first bar.
    """

    def __init__(self, log: list[list[Any]], shown: str, sold: str | None = None) -> None:
        super().__init__(StrategyConfig(strategy_id="Watcher", order_id_tag="000"))
        self.log_rows, self.shown, self.sold = log, shown, sold
        self.rsi, self.macd, self.bands = MetalRSI(14), MetalMACD(12, 26, 9), MetalBollingerBands(20, 2.0)

    def on_start(self) -> None:
        for one in (self.rsi, self.macd, self.bands):
            self.register_indicator_for_bars(daily(self.shown), one)
        for name in dict.fromkeys([self.shown, self.sold or self.shown]):
            self.subscribe_bars(daily(name))
        for topic in TOPICS:
            self.msgbus.subscribe(topic, self.on_message)

    def on_bar(self, bar: Any) -> None:
        name = str(bar.bar_type.instrument_id)
        if name == self.shown:
            values = [self.rsi.value, self.macd.value, self.macd.signal, self.bands.upper, self.bands.lower]
            self.note(bar.ts_event, "indicators", [None if np.isnan(value) else value for value in values])
        if name == self.sold:
            instrument, self.sold = self.cache.instrument(InstrumentId.from_str(name)), None
            self.submit_order(self.order_factory.market(instrument.id, OrderSide.SELL, instrument.make_qty(300)))

    def on_order_filled(self, event: Any) -> None:
        held = {str(one.instrument_id): [one.signed_qty, one.avg_px_open] for one in self.cache.positions_open()}
        self.note(event.ts_event, "positions", held)

    def on_message(self, message: Any) -> None:
        if isinstance(message, RiskReport | Forecast) and message.ts_init // DAY % 5:  # enough for a file
            return
        row = {name: value for name, value in message.to_dict().items() if name not in NOT_COMPARED}
        self.note(message.ts_init, type(message).__name__, row)

    def note(self, ts: int, kind: str, figures: Any) -> None:
        self.log_rows.append([ts, kind, figures])


def daily(name: str) -> BarType:
    """Daily bars of an instrument."""
    return BarType.from_str(f"{name}-1-DAY-LAST-EXTERNAL")


def walks(seed: int, days: int, *sigmas: float) -> list[np.ndarray]:
    """Closes on cents."""
    steps = np.random.default_rng(seed).normal(scale=np.array(sigmas)[:, None], size=(len(sigmas), days))
    return [np.round(100.0 * np.exp(np.cumsum(row)), 2) for row in steps]


def demo() -> list[list[Any]]:
    """Indicators, two strategies of this project, the RiskActor with a limit."""
    log: list[list[Any]] = []
    market = Market()
    for name, closes in zip((A, B, C), walks(5, 300, 0.012, 0.02, 0.015), strict=True):
        market.stock(name, closes)
    risk = RiskActorConfig(
        bar_types=tuple(map(daily, (A, B, C))),
        window=150,
        min_observations=100,
        scenarios=4_096,
        levels=(0.95, 0.99),
        seed=11,
        var_limit={0.99: 3_000.0},
    )
    reversion = RSIReversionConfig(bar_types=(daily(A),), notional=100_000.0, order_id_tag="001")
    trend = RiskScaledConfig(
        bar_types=(daily(C),), var_budget=3_000.0, slow=60, notional=100_000.0, order_id_tag="002"
    )
    market.run(
        [MetalEngineActor(CPU), RiskActor(risk)],
        [Watcher(log, A, sold=B), RSIReversion(reversion), RiskScaled(trend)],
        log,
    )
    return log


def hedge() -> list[list[Any]]:
    """A straddle that is sold and hedged by its delta, with the risk and the Greeks of the book."""
    log: list[list[Any]] = []
    days, expiry, market = 40, 70, Market()
    (closes,) = walks(8, days, 0.012)
    market.stock(A, closes, quoted=True)
    for strike in (95.0, 100.0, 105.0):
        for kind in ("call", "put"):
            years = (expiry - np.arange(1, days + 1)) / 365.25
            spots = zip(closes, years, strict=True)
            paid = [float(black_scholes.price(spot, strike, time, 0.0, 0.25, 0.0, kind)) for spot, time in spots]
            market.option(f"AAA{kind[0].upper()}{strike:.0f}.XNYS", kind, strike, expiry, paid)
    risk = RiskActorConfig(
        bar_types=(daily(A),),
        window=30,
        min_observations=20,
        model="normal",
        levels=(0.95,),
        scenarios=2_048,
        rate=0.0,
    )
    hedging = HedgeActorConfig(
        instruments={A: (A,)},
        triggers=(InstrumentId.from_str(A),),
        bands={"delta": 200.0},
        rate=0.0,
        hedger="Hedger-001",
        max_quote_age_seconds=90_000.0,
    )
    name = InstrumentId.from_str(A)
    market.run(
        [MetalEngineActor(CPU), RiskActor(risk), HedgeActor(hedging)],
        [
            Watcher(log, A),
            ShortStraddle(ShortStraddleConfig(underlying=name, trigger=name, contracts=10, order_id_tag="003")),
            Hedger(HedgerConfig(order_id_tag="001", max_age_seconds=90_000.0)),
        ],
        log,
    )
    return log


def watch() -> list[list[Any]]:
    """Target weights that are traded, verdicts on a risk model, forecasts of a network with given weights."""
    log: list[list[Any]] = []
    market, names = Market(), (A, B, C)
    for name, closes in zip(names, walks(9, 200, 0.012, 0.02, 0.015), strict=True):
        market.stock(name, closes)
    kinds = tuple(map(daily, names))
    risk = RiskActorConfig(
        bar_types=kinds, window=150, min_observations=100, model="normal", levels=(0.95,), on_bar=True
    )
    allocation = AllocationActorConfig(bar_types=kinds, window=150, min_observations=60, objective="minimum_variance")
    with TemporaryDirectory() as folder:
        forecast = ForecastActorConfig(checkpoint=save(Path(folder) / "network.pt"), bar_types=kinds[:1])
        actors = [
            MetalEngineActor(CPU),
            RiskActor(risk),
            AllocationActor(allocation),
            ValidationActor(ValidationActorConfig(actual_pnl=True, publish_every=10)),
            ForecastActor(forecast),
        ]
        market.run(actors, [Watcher(log, A), Rebalancer(RebalancerConfig(capital=1e6, order_id_tag="004"))], log)
    return log


DEMOS = {"demo": demo, "hedge": hedge, "watch": watch}


def run(name: str) -> list[list[Any]]:
    """Run a demo on the installed host; return its log as JSON has it."""
    log: list[list[Any]] = json.loads(json.dumps(DEMOS[name]()))
    return log


def main() -> None:
    """Write the logs of v1."""
    assert MAJOR == 1, "the log that others are compared with is made under NautilusTrader v1"
    logs = {name: ",\n".join(json.dumps(row, sort_keys=True) for row in run(name)) for name in DEMOS}
    parts = ",\n".join(f'"{name}": [\n{rows}\n]' for name, rows in logs.items())
    FILE.write_text(f"{{\n{parts}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
