"""Hedges executed in real backtests: by a future, an inverse perpetual, through physical settlement, on two stocks.

Each run sells options once and lets HedgeActor and Hedger follow them; P&L is worked out here from the fills.
"""


import numpy as np
import pytest
from nautilus_trader.model.currencies import BTC, USD
from nautilus_trader.model.enums import AssetClass, OptionKind
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CryptoOption, CryptoPerpetual, FuturesContract, IndexInstrument
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.model.position import Position

from nautilus_metal.actors import HedgeActor, HedgeActorConfig, RiskActor, RiskActorConfig
from nautilus_metal.actors.hedge_market import HedgeMarket, Market
from nautilus_metal.messages import HEDGE_REQUEST_TOPIC
from strategies.hedger import Hedger, HedgerConfig
from tests.actors.conftest import CASH, System
from tests.actors.option_cases import ONE, SMALL, Buyer, contract, premium, quote
from tests.risk.option_cases import black_scholes as textbook
from tests.risk.option_cases import option as terms_of
from tests.small_system import DAY, bar_type, bars, equity, walk

RATE, VOLATILITY, DAYS, EXPIRY = 0.03, 0.25, 60, 70
HEDGER = "Hedger-HEDGE"


class Floor(System):
    """A system with a Buyer, a HedgeActor and a Hedger, whose requests and fills are collected."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.requests: list = []
        self.fills: list = []
        self.engine.kernel.msgbus.subscribe(HEDGE_REQUEST_TOPIC, self.requests.append)
        self.engine.kernel.msgbus.subscribe("events.fills.*", self.fills.append)

    def quote(self, instrument, mids, half: float, closes: bool = False) -> None:
        """Add an instrument with a quote a day, after a bar of the same price where it `closes`."""
        self.engine.add_instrument(instrument)
        if closes:
            self.engine.add_data(bars(instrument, mids))
        self.engine.add_data([quote(instrument, mid, day, half) for day, mid in enumerate(mids, start=1)])

    def sell(self, orders, clock: str, actors=(), limits=None, **hedge) -> "Floor":
        """Run with short options at the second bar of `clock`."""
        settings = {"hedger": HEDGER, "rate": RATE, "limits": limits or {}} | hedge
        hedger = Hedger(HedgerConfig(order_id_tag="HEDGE", limits=limits or {}))
        self.hedge_actor = HedgeActor(HedgeActorConfig(**settings))
        self.run([self.hedge_actor, *actors], [Buyer({2: orders}, clock), hedger])
        return self

    def seen(self, underlying: str) -> Market:
        """The market at the end, with options to choose from."""
        reader = HedgeMarket(self.hedge_actor.config)
        return reader.read(self.engine.cache, underlying, True, self.engine.kernel.clock.timestamp_ns())

    def traded(self, name: str, days: int) -> np.ndarray:
        """What the hedger holds of an instrument at the end of each day, shape (days,)."""
        held = np.zeros(days)
        for fill in self.fills:
            if str(fill.instrument_id) == name and str(fill.strategy_id) == HEDGER:
                quantity = fill.last_qty.as_double() * (1 if fill.is_buy else -1)
                held[fill.ts_event // DAY - 1 :] += quantity
        return held


@pytest.fixture
def floor():
    made = []

    def make(**options) -> Floor:
        made.append(Floor(**options))
        return made[-1]

    yield make
    for one in made:
        one.engine.dispose()


def straddle(closes: np.ndarray, strike: float, volatility: float = VOLATILITY, expiry: int = EXPIRY) -> np.ndarray:
    """Mids of a call and a put by day, shape (2, days)."""
    return np.array([
        [premium(kind, strike, spot, day, volatility, expiry=expiry, rate=RATE)
         for day, spot in enumerate(closes.tolist(), start=1)]
        for kind in ("call", "put")
    ])  # fmt: skip


def delta(kind: str, strike: float, spot: float, day: int, volatility=VOLATILITY) -> float:
    """By the textbook formula and a small step."""
    years, step = (EXPIRY - day) / 365.25, 1e-4 * spot
    o = terms_of(kind, strike, rate=RATE, dividend_yield=0.0)
    up, down = (textbook(o, spot + side * step, volatility, years) for side in (1, -1))
    return (up - down) / (2 * step)


def left(hedged: np.ndarray, unhedged: np.ndarray) -> float:
    """Share of the standard deviation of daily P&L that a hedge leaves."""
    return float(np.std(hedged) / np.std(unhedged))


def test_an_index_is_hedged_by_its_future(floor):
    """Of multiplier 20, at the index' forward price: one for each delta would be too many by the cost of carry."""
    days, strike, run = DAYS, 1000.0, floor()
    spots = walk(5, days, 1000.0, 0.0157)
    forwards = np.round(spots * np.exp(0.5 * RATE + RATE * (90 - np.arange(1, days + 1)) / 365.25), 2)
    index = InstrumentId.from_str("IDX.XNYS")
    made = IndexInstrument(index, index.symbol, USD, 2, 0, Price.from_str("0.01"), ONE, ts_event=0, ts_init=0)
    future = FuturesContract(
        InstrumentId.from_str("FUT.XNYS"), Symbol("FUT"), AssetClass.INDEX, USD, 2, Price.from_str("0.01"),
        Quantity.from_int(20), ONE, "IDX", 0, 272 * DAY, 0, 0,
    )  # fmt: skip
    run.engine.add_instrument(made)
    run.engine.add_data(bars(made, spots))
    mids = straddle(spots, strike)
    for row, kind, letter in zip(mids, ("call", "put"), "CP", strict=True):
        run.quote(contract(f"IDX-{letter}.XNYS", kind, strike, "IDX", expiry=EXPIRY), row, 0.01)
    run.quote(future, forwards, 0.05)
    orders = [("IDX-C.XNYS", -30), ("IDX-P.XNYS", -30)]
    run.sell(orders, "IDX.XNYS", instruments={"IDX.XNYS": ("FUT.XNYS",)}, triggers=(future.id,))

    held = run.traded("FUT.XNYS", days)
    for day in range(3, days):  # sold at the second bar, hedged once all of that day's orders are through
        book = -3000 * sum(delta(kind, strike, spots[day - 1], day) for kind in ("call", "put"))
        assert held[day - 1] == pytest.approx(-book * spots[day - 1] / (20 * forwards[day - 1]), abs=0.501)
    assert run.requests[0].orders["FUT.XNYS"]["cost"] == pytest.approx(0.05 * 20 * abs(held[2 - 1]))
    options = -3000 * np.diff(mids.sum(axis=0))[2:]
    futures = 20 * held[2:-1] * np.diff(forwards)[2:]
    assert left(options + futures, options) < 0.6
    portfolio = run.engine.portfolio
    booked = portfolio.realized_pnl(future.id).as_double() + portfolio.unrealized_pnl(future.id).as_double()
    spread = 0.05 * 20 * np.abs(np.diff(held, prepend=0.0, append=0.0)).sum()  # it is marked where it can be closed
    assert booked == pytest.approx(20 * (held[:-1] * np.diff(forwards)).sum() - spread, abs=0.1)


def test_a_coin_s_option_is_hedged_by_the_inverse_perpetual(floor):
    """The option is quoted in coin, the perpetual counts dollars: one contract is a dollar's worth of coin."""
    days, strike, run = DAYS, 40_000.0, floor(balances=(*CASH, Money(1_000, BTC)))
    spots = walk(6, days, 40_000.0, 0.03).round(1)
    name, price = InstrumentId.from_str("BTCUSD-PERP.XNYS"), Price.from_str("0.1")
    perpetual = CryptoPerpetual(name, name.symbol, BTC, USD, BTC, True, 1, 0, price, ONE, 0, 0)
    call = InstrumentId.from_str("BTC-C.XNYS")
    option = CryptoOption(
        call, call.symbol, BTC, BTC, BTC, False, OptionKind.CALL, Price.from_str("40000"), 0, EXPIRY * DAY,
        8, 1, Price.from_str("0.00000001"), Quantity.from_str("0.1"), 0, 0,
    )  # fmt: skip
    run.quote(perpetual, spots, 0.5, closes=True)
    dollars = straddle(spots, strike, volatility=0.6)[0]
    run.quote(option, dollars / spots, 1e-5)
    perp = str(perpetual.id)
    run.sell([(str(call), -20.0)], perp, instruments={perp: (perp,)}, triggers=(perpetual.id,))

    held = run.traded(perp, days)
    for day in range(3, days):
        expected = 20 * delta("call", strike, spots[day - 1], day, 0.6) * spots[day - 1]
        assert held[day - 1] == pytest.approx(expected, rel=1e-3)
    request = run.requests[0]
    assert request.before["delta"] == pytest.approx(-0.01 * held[1], rel=1e-3)
    assert request.orders[perp]["cost"] == pytest.approx(held[1] * 0.5 / spots[1], rel=1e-6)
    options = -20 * np.diff(dollars)[2:]
    perpetuals = held[2:-1] * (spots[3:] / spots[2:-1] - 1.0)
    assert left(options + perpetuals, options) < 0.35
    seen = run.seen(perp)
    assert seen.lines[str(call)].cost == pytest.approx(1e-5 * spots[-1], rel=1e-6)
    # the host books coin: of a fill, at the next day's price, what the dollars above are worth there
    fill = next(fill for fill in run.fills if fill.instrument_id == perpetual.id)
    position, later = Position(perpetual, fill), perpetual.make_price(spots[2])
    dollars_made = position.unrealized_pnl(later).as_double() * spots[2]
    assert position.settlement_currency == BTC
    assert dollars_made == pytest.approx(position.signed_qty * (spots[2] / fill.last_px.as_double() - 1), rel=1e-6)


@pytest.mark.parametrize("hedged", [False, True])
def test_a_call_is_settled_physically(floor, hedged):
    """At the strike the seller delivers shares that it does not have: alone it is short of them, hedged it is not."""
    stock, call, run = "AAA.XNYS", "AAA-C100.XNYS", floor()
    spots = (walk(8, DAYS) + np.linspace(0.0, 12.0, DAYS)).round(2)
    assert spots[37:40].min() > 101.0
    mids = straddle(spots[:39], 100.0, expiry=40)[0]
    run.quote(equity(stock), spots, 0.01, closes=True)
    run.quote(contract(call, "call", 100.0, expiry=40), mids, 0.01)
    risk = RiskActor(RiskActorConfig(**SMALL, bar_types=(bar_type(stock),), rate=RATE))
    triggers = (InstrumentId.from_str(stock),) if hedged else ()
    run.sell([(call, -10)], stock, [risk], instruments={stock: (stock,)}, triggers=triggers)

    (delivery,) = [f for f in run.fills if str(f.instrument_id) == stock and str(f.strategy_id) != HEDGER]
    assert (delivery.last_qty.as_double(), delivery.last_px.as_double()) == (1_000.0, 100.0)
    assert delivery.is_sell
    by_day = {report.ts_event // DAY: report for report in run.reports}
    assert call in by_day[39].positions
    assert by_day[41].uncovered == {}
    rest = -1_000.0 + run.traded(stock, DAYS)[40]
    held = {name: row["quantity"] for name, row in by_day[41].positions.items()}
    assert held == ({stock: rest} if rest else {})
    assert abs(rest) <= 1.0 if hedged else rest == -1_000.0
    answer = run.hedge_actor.compute()[stock]
    assert answer.before.get("delta", 0.0) == pytest.approx(0.01 * rest * spots[-1], abs=0.02 * spots[-1])
    assert answer.uncovered == {}
    if hedged:
        assert run.traded(stock, DAYS)[38] > 900.0
        assert [request for request in run.requests if request.ts_init > 41 * DAY] == []


def test_one_actor_hedges_two_underlyings_each_by_itself(floor):
    """The second one's limit is too small for its delta, which is nothing to the first."""
    run, limits, specs = floor(), {"BBB.XNYS": 300.0}, {"AAA": (100.0, 1), "BBB": (50.0, 2)}
    spots = {}
    for name, (start, seed) in specs.items():
        spots[name] = walk(seed, DAYS, start)
        run.quote(equity(f"{name}.XNYS"), spots[name], 0.01, closes=True)
        for row, kind, letter in zip(straddle(spots[name], start), ("call", "put"), "CP", strict=True):
            run.quote(contract(f"{name}-{letter}.XNYS", kind, start, name, expiry=EXPIRY), row, 0.01)
    names = [f"{name}.XNYS" for name in specs]
    run.sell(
        [("AAA-C.XNYS", -10), ("BBB-P.XNYS", 20)],
        "BBB.XNYS",
        instruments={name: (name,) for name in names},
        triggers=tuple(map(InstrumentId.from_str, names)),
        limits=limits,
    )

    held = {name: run.traded(name, DAYS) for name in names}
    expected = {
        "AAA.XNYS": [1_000 * delta("call", 100.0, spots["AAA"][day - 1], day) for day in range(3, DAYS)],
        "BBB.XNYS": [-2_000 * delta("put", 50.0, spots["BBB"][day - 1], day) for day in range(3, DAYS)],
    }
    np.testing.assert_allclose(held["AAA.XNYS"][2:-1], expected["AAA.XNYS"], atol=0.51)
    assert max(expected["BBB.XNYS"]) > 400
    np.testing.assert_allclose(held["BBB.XNYS"][2:-1], np.minimum(expected["BBB.XNYS"], 300.0), atol=0.51)
    by_underlying = {name: [r for r in run.requests if r.underlying == name] for name in names}
    assert all(set(request.orders) <= {name} for name, requests in by_underlying.items() for request in requests)
    assert {request.status for request in by_underlying["AAA.XNYS"]} == {"hedged"}
    assert any(request.status == "infeasible" for request in by_underlying["BBB.XNYS"])
    assert set(run.hedge_actor.last_results) == set(names)
    assert set(run.seen("AAA.XNYS").lines) == {"AAA.XNYS", "AAA-C.XNYS", "AAA-P.XNYS"}
