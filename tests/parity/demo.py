"""Backtests that run under either version of NautilusTrader and return the logs of their events.

Those of the folder `backtests`, on short periods (`scripts`), and two small ones here for messages that none of those
has. ``python -m tests.parity.demo`` under v1 writes `log_v1.json`, with which the test compares the installed host.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from nautilus_trader.model import InstrumentId, Money, Price, Quantity, QuoteTick, Venue

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
from nautilus_metal.host import OrderSide
from nautilus_metal.host.backtest import (
    USD,
    AccountType,
    AssetClass,
    Equity,
    OmsType,
    OptionContract,
    OptionKind,
    add_instruments,
    make_bars,
    no_fees,
    silent_engine,
)
from nautilus_metal.host.version import MAJOR
from nautilus_metal.kernels import black_scholes
from strategies.hedger import Hedger, HedgerConfig
from strategies.rebalancer import Rebalancer, RebalancerConfig
from strategies.short_straddle import ShortStraddle, ShortStraddleConfig
from tests.actors.forecast_cases import save
from tests.parity.scripts import SCRIPTS
from tests.parity.watcher import DAY, Watcher, daily

FILE = Path(__file__).with_name("log_v1.json")
A, B, C = (f"{name}.XNYS" for name in ("AAA", "BBB", "CCC"))
VENUE, ONE, SIZE = Venue("XNYS"), Quantity.from_int(1), Quantity.from_int(10**6)
CPU = MetalEngineConfig(device="cpu")


class Market:
    """One venue with stocks and options, at daily prices."""

    def __init__(self) -> None:
        self.engine, self._instruments, self._data = silent_engine(), [], []
        self.engine.add_venue(
            venue=VENUE,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            starting_balances=[Money(10_000_000, USD)],
            fee_model=no_fees(),
        )

    def stock(self, name: str, closes: Any, quoted: bool = False) -> None:
        """Add a stock with daily bars, and quotes around their closes a second later."""
        one = InstrumentId.from_str(name)
        stock = Equity(
            instrument_id=one,
            raw_symbol=one.symbol,
            currency=USD,
            price_precision=2,
            price_increment=Price.from_str("0.01"),
            lot_size=ONE,
            ts_event=0,
            ts_init=0,
        )
        days = np.arange(1, len(closes) + 1) * DAY
        self._instruments.append(stock)
        self._data.append(make_bars(daily(name), stock, [closes] * 4, np.full(len(closes), 1e6), days))
        if quoted:
            self._quote(stock, closes.tolist(), 0.01, 10**9)

    def option(self, name: str, kind: str, strike: float, expiry: int, premiums: list[float]) -> None:
        """Add an option with daily quotes around its premium."""
        one = InstrumentId.from_str(name)
        option = OptionContract(
            instrument_id=one,
            raw_symbol=one.symbol,
            asset_class=AssetClass.EQUITY,
            currency=USD,
            price_precision=4,
            price_increment=Price.from_str("0.0001"),
            multiplier=Quantity.from_int(100),
            lot_size=ONE,
            underlying="AAA",
            option_kind=OptionKind.CALL if kind == "call" else OptionKind.PUT,
            strike_price=Price(strike, 2),
            activation_ns=0,
            expiration_ns=expiry * DAY,
            ts_event=0,
            ts_init=0,
        )
        self._instruments.append(option)
        self._quote(option, premiums, 0.005)

    def _quote(self, instrument: Any, prices: list[float], half: float, late: int = 0) -> None:
        make = instrument.make_price
        rows = [(make(price - half), make(price + half), day * DAY + late) for day, price in enumerate(prices, 1)]
        self._data.append([QuoteTick(instrument.id, bid, ask, SIZE, SIZE, ts, ts) for bid, ask, ts in rows])

    def run(self, actors: list[Any], strategies: list[Any], log: list[list[Any]]) -> None:
        """Run, note all orders at the end, and let go."""
        add_instruments(self.engine, self._instruments)
        for data in self._data:
            self.engine.add_data(data)
        for actor in actors:
            self.engine.add_actor(actor)
        for strategy in strategies:
            self.engine.add_strategy(strategy)
        self.engine.run()
        for order in self.engine.cache.orders():
            signed = float(order.filled_qty) * (1 if order.side == OrderSide.BUY else -1)
            facts = [str(order.strategy_id), str(order.instrument_id), order.tags, signed, float(order.avg_px or 0)]
            log.append([order.ts_last, "order", facts])
        self.engine.dispose()


def walks(seed: int, days: int, *sigmas: float) -> list[np.ndarray]:
    """Closes on cents."""
    steps = np.random.default_rng(seed).normal(scale=np.array(sigmas)[:, None], size=(len(sigmas), days))
    return [np.round(100.0 * np.exp(np.cumsum(row)), 2) for row in steps]


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


DEMOS = SCRIPTS | {"hedge": hedge, "watch": watch}


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
