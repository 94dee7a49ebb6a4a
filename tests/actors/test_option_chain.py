"""An option chain in a real backtest: a strategy watches it, RiskActor and HedgeActor take its volatilities."""

import pytest
from nautilus_trader.common.actor import Actor
from nautilus_trader.core.nautilus_pyo3 import OptionSeriesId, StrikeRange
from nautilus_trader.core.nautilus_pyo3 import Price as ChainPrice
from nautilus_trader.model.data import OptionGreeks
from nautilus_trader.model.identifiers import InstrumentId

from nautilus_metal.actors import HedgeActor, HedgeActorConfig
from nautilus_metal.kernels import black_scholes
from nautilus_metal.messages import RISK_REPORT_TOPIC
from tests.actors.option_cases import DAYS, EXPIRY, STOCK, premium
from tests.small_system import DAY

STRIKES = {"AAA-C95.XNYS": 95.0, "AAA-C100.XNYS": 100.0, "AAA-C105.XNYS": 105.0}
CHAIN_DAYS = range(20, DAYS + 1)


class Watcher(Actor):
    """Subscribes the chain and keeps its slices."""

    def __init__(self, strikes: StrikeRange, interval_ms: int | None) -> None:
        super().__init__()
        self.strikes, self.interval_ms, self.slices = strikes, interval_ms, []

    def on_start(self) -> None:
        series = OptionSeriesId("XNYS", "AAA", "USD", EXPIRY * DAY)
        self.subscribe_option_chain(series, self.strikes, snapshot_interval_ms=self.interval_ms)

    def on_option_chain(self, option_chain_slice) -> None:
        self.slices.append(option_chain_slice)


def smile(strike: float, day: int) -> float:
    return 0.2 + 0.001 * day - 0.002 * (strike - 100.0)


def sensitivities(strike: float, spot: float, day: int):
    return black_scholes.greeks(spot, strike, (EXPIRY - day) / 365.25, 0.03, smile(strike, day))


def greeks(name: str, strike: float, spot: float, day: int) -> OptionGreeks:
    found = sensitivities(strike, spot, day)
    figures = [float(getattr(found, measure)) for measure in ("delta", "gamma", "vega", "theta", "rho")]
    times, volatility = [day * DAY] * 2, smile(strike, day)
    return OptionGreeks(InstrumentId.from_str(name), *figures, volatility, None, None, spot, None, *times)


FIXED, NEAR = StrikeRange.fixed([ChainPrice(strike, 4) for strike in (95.0, 105.0)]), StrikeRange.atm_relative(1, 1)


@pytest.mark.parametrize(
    ("strikes", "interval_ms"),
    [(FIXED, None), (FIXED, 86_400_000), (NEAR, None)],
    ids=["every update", "daily", "around the money"],
)
def test_the_chain_s_volatilities_are_taken(desk, strikes, interval_ms):
    """Quotes say 25% at every strike; the chain has a skew that moves by the day."""
    run, watcher, requests = desk(), Watcher(strikes, interval_ms), []
    for name, strike in STRIKES.items():
        run.option(name, "call", strike, volatility=0.25)
        run.engine.add_data([greeks(name, strike, run.closes[day - 1], day) for day in CHAIN_DAYS])
    run.engine.add_actor(watcher)
    hedge = HedgeActor(HedgeActorConfig(instruments={STOCK: (STOCK,)}, rate=0.03))
    run.engine.add_actor(hedge)
    run.engine.kernel.msgbus.subscribe(RISK_REPORT_TOPIC, lambda _report: requests.append(hedge.compute()[STOCK]))
    run.trade({30: [("AAA-C95.XNYS", -2), ("AAA-C105.XNYS", 3)]}, volatility_max_age_seconds=86_400.0)

    last, spot = run.reports[-1], run.closes[-1]
    for name, quantity in (("AAA-C95.XNYS", -2), ("AAA-C105.XNYS", 3)):
        strike, row = STRIKES[name], last.positions[name]
        assert (row["volatility_source"], row["volatility"]) == ("venue", pytest.approx(smile(strike, DAYS)))
        expected = float(sensitivities(strike, spot, DAYS).delta)
        assert row["delta"] == pytest.approx(100 * quantity * expected, rel=1e-6)
        # what it is worth is what it is quoted at
        assert row["price"] == pytest.approx(premium("call", strike, spot, DAYS, 0.25), rel=1e-4)
    delta = sum(row["delta"] for row in last.positions.values())
    assert requests[-1].before["delta"] == pytest.approx(delta * spot * 0.01, rel=1e-6)

    whole = [one for one in watcher.slices if one.call_count() == (2 if strikes is FIXED else 3)]
    assert whole
    assert {float(str(strike)) for strike in whole[-1].strikes()} >= {95.0, 105.0}
    seen = whole[-1].get_call_greeks(ChainPrice(105.0, 4))
    assert seen.mark_iv == pytest.approx(smile(105.0, DAYS), abs=0.0011)
