"""The GreeksReport against the host's own calculator, for options on a stock, on a future and on a coin.

The host works in float32, on whole days, and leaves out quantity; its vega is per 1%, its theta per day. An option on
a coin that is quoted in coin has no reference there: the calculator takes its premium for dollars.
"""

import pytest
from nautilus_trader.model.currencies import BTC, USD
from nautilus_trader.model.enums import AssetClass, OptionKind
from nautilus_trader.model.greeks import GreeksCalculator
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CryptoOption, CurrencyPair, FuturesContract
from nautilus_trader.model.objects import Price, Quantity

from nautilus_metal.messages import GREEKS_REPORT_TOPIC
from tests.actors.option_cases import DAYS, EVERY_DAY, EXPIRY, ONE, STOCK, contract, premium, quote
from tests.small_system import DAY, bar_type, bars, walk

RATE, CENT = 0.03, Price.from_str("0.01")
FUTURE, COIN = "FUT.XNYS", "BTC.XNYS"


def future() -> FuturesContract:
    name = InstrumentId.from_str(FUTURE)
    return FuturesContract(
        name, name.symbol, AssetClass.INDEX, USD, 2, CENT, Quantity.from_int(50), ONE, "IDX", 0, 300 * DAY, 0, 0
    )


def coin() -> CurrencyPair:
    return CurrencyPair(InstrumentId.from_str(COIN), Symbol("BTC/USD"), BTC, USD, 2, 0, CENT, ONE, 0, 0)


def coin_option(name: str, strike: float) -> CryptoOption:
    instrument_id = InstrumentId.from_str(name)
    return CryptoOption(
        instrument_id, instrument_id.symbol, BTC, USD, USD, False, OptionKind.CALL, Price(strike, 2), 0, EXPIRY * DAY,
        2, 1, CENT, Quantity.from_str("0.1"), 0, 0,
    )  # fmt: skip


# underlying and its history; option, kind, strike, volatility, dividend yield, quantity
ON_STOCK = (STOCK, None, contract("AAA-P95.XNYS", "put", 95.0), "put", 95.0, 0.3, 0.0, 3)
FUTURE_CALL = contract("FUT-C50.XNYS", "call", 50.0, "FUT", multiplier=50)
ON_FUTURE = (FUTURE, future, FUTURE_CALL, "call", 50.0, 0.2, RATE, -4)
ON_COIN = (COIN, coin, coin_option("BTC-C45000.XNYS", 45_000.0), "call", 45_000.0, 0.6, 0.0, 7)
STARTS = {STOCK: 100.0, FUTURE: 50.0, COIN: 40_000.0}


@pytest.mark.parametrize("case", [ON_STOCK, ON_FUTURE, ON_COIN], ids=["stock", "future", "coin"])
def test_greeks_agree_with_the_host_library(desk, case):
    underlying, make, option, kind, strike, volatility, dividend_yield, quantity = case
    run, name, compared = desk(), str(option.id), []
    closes = run.closes if make is None else walk(2, DAYS, STARTS[underlying])
    if make is not None:
        run.engine.add_instrument(make())
        run.engine.add_data(bars(make(), closes))
    run.engine.add_instrument(option)
    terms = {"rate": RATE, "dividend_yield": dividend_yield}
    mids = [premium(kind, strike, closes[day - 1], day, volatility, **terms) for day in EVERY_DAY]
    run.engine.add_data([quote(option, mid, day, 0.01) for mid, day in zip(mids, EVERY_DAY, strict=True)])
    kernel = run.engine.kernel
    calculator = GreeksCalculator(kernel.cache, kernel.clock)

    def compare(report) -> None:
        theirs = calculator.instrument_greeks(
            option.id, flat_interest_rate=RATE, flat_dividend_yield=dividend_yield, ts_event=report.ts_event
        )
        ours, units = report.positions[name], quantity * theirs.multiplier
        assert ours["expiry"] == pytest.approx(theirs.expiry_in_years, rel=1e-12)
        assert ours["volatility"] == pytest.approx(theirs.vol, rel=1e-3)
        assert ours["delta"] == pytest.approx(units * theirs.delta, rel=1e-3)
        assert ours["gamma"] == pytest.approx(units * theirs.gamma, rel=1e-3)
        assert ours["vega"] / 100 == pytest.approx(units * theirs.vega, rel=1e-3)
        assert ours["theta"] / 365.25 == pytest.approx(units * theirs.theta, rel=2e-3)
        compared.append(name)

    kernel.msgbus.subscribe(GREEKS_REPORT_TOPIC, compare)
    run.trade({30: [(name, quantity), (STOCK, 100)]}, bar_types=(bar_type(STOCK), bar_type(underlying)), rate=RATE)
    assert len(compared) == DAYS - 29
    last = run.greeks[-1]
    total = sum(row["vega"] for row in last.positions.values())
    assert last.totals["vega"] == pytest.approx(total) == pytest.approx(last.underlyings[underlying]["vega"])
    assert last.positions[STOCK]["delta"] == 100
    assert last.ts_event == run.reports[-1].ts_event
