"""The HedgeActor in a real engine: what it asks for, against Greeks worked out here."""

import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.enums import AccountType, AssetClass, OmsType, OptionKind, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity, FuturesContract, OptionContract
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.actors import HedgeActor, HedgeActorConfig
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.tail import tail_weights
from nautilus_metal.messages import HEDGE_REQUEST_TOPIC
from nautilus_metal.risk import Book, Option, Position
from nautilus_metal.risk.scenario_pnl import scenario_pnl

DAY, VENUE = 86_400 * 10**9, Venue("SIM")
STOCK = InstrumentId(Symbol("STK"), VENUE)
SPOT, VOL = 100.0, 0.2
EXPIRY = 31 * DAY
RETURNS = np.random.default_rng(0).standard_t(5, size=400) * 0.008
CLOSES = SPOT * np.exp(np.cumsum(RETURNS) - RETURNS.sum())
BARS = BarType.from_str(f"{STOCK}-1-MINUTE-LAST-EXTERNAL")
SIZE = Quantity.from_int(100_000)
NONE = {"quantity": 0.0}


def option(strike: float, kind: OptionKind, expiry: int = EXPIRY) -> OptionContract:
    name = Symbol(f"STK{expiry // DAY}{'C' if kind == OptionKind.CALL else 'P'}{strike:.0f}")
    return OptionContract(
        InstrumentId(name, VENUE), name, AssetClass.EQUITY, USD, 4, Price.from_str("0.0001"), Quantity.from_int(100),
        Quantity.from_int(1), "STK", kind, Price(strike, 2), 0, expiry, 0, 0,
    )  # fmt: skip


CALL, PUT = option(100.0, OptionKind.CALL), option(100.0, OptionKind.PUT)
WINGS = (option(105.0, OptionKind.CALL), option(95.0, OptionKind.PUT))
FAR = (option(105.0, OptionKind.CALL, 61 * DAY), option(95.0, OptionKind.PUT, 61 * DAY))


def years(contract: OptionContract, now: int = DAY) -> float:
    return (contract.expiration_ns - now) / (365.25 * DAY)


def sign(contract: OptionContract) -> float:
    return 1.0 if contract.option_kind == OptionKind.CALL else -1.0


def priced(contract: OptionContract, spot: float = SPOT) -> tuple:
    strike = torch.tensor(float(contract.strike_price), dtype=torch.float64)
    kind = torch.tensor(sign(contract), dtype=torch.float64)
    arguments = (spot, strike, years(contract), 0.0, VOL, 0.0, kind)
    return float(black_scholes.price(*arguments)), black_scholes.greeks(*arguments)


def unit(contract: OptionContract) -> np.ndarray:
    """Delta, gamma and vega of one contract as the actor states them."""
    _, greeks = priced(contract)
    return 100 * np.array([
        float(greeks.delta) * SPOT * 0.01,
        float(greeks.gamma) * (SPOT * 0.01) ** 2 / math.sqrt(2),
        float(greeks.vega) * 0.01,
    ])  # fmt: skip


class Holder(Strategy):
    """Buys or sells market quantities at the first quote of the stock."""

    def __init__(self, orders: dict[InstrumentId, int], tag: str = "HOLD") -> None:
        super().__init__(StrategyConfig(strategy_id="Holder", order_id_tag=tag))
        self.orders = dict(orders)

    def on_start(self) -> None:
        self.subscribe_quote_ticks(STOCK)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        for name, quantity in self.orders.items():
            side = OrderSide.BUY if quantity > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(name, side, Quantity.from_int(abs(quantity))))
        self.orders.clear()


def quote(name: InstrumentId, price: float, precision: int, half: float, ts: int = DAY) -> QuoteTick:
    return QuoteTick(name, Price(price - half, precision), Price(price + half, precision), SIZE, SIZE, ts, ts)


@pytest.fixture
def ask():
    """Run one day with what is held and return the requests published; options are quoted `lag` seconds early."""
    made = []

    def run(holds, config, quoted=(CALL, PUT, *WINGS, *FAR), listed=(CALL, PUT, *WINGS, *FAR), lag=0, also=()):
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
        made.append(engine)
        cash = [Money(10_000_000, USD)]
        engine.add_venue(VENUE, OmsType.NETTING, AccountType.MARGIN, cash, USD, Decimal(10))
        step = Price.from_str("0.0001")
        engine.add_instrument(Equity(STOCK, STOCK.symbol, USD, 4, step, Quantity.from_int(1), 0, 0))
        for contract in listed:
            engine.add_instrument(contract)
        last = Price(SPOT, 4)
        closes = [Price(close, 4) for close in CLOSES]
        times = [DAY - (len(closes) - i) * 60 * 10**9 for i in range(len(closes))]
        engine.add_data([Bar(BARS, p, p, p, p, SIZE, ts, ts) for p, ts in zip(closes, times, strict=True)])
        for contract in quoted:
            engine.add_data([quote(contract.id, priced(contract)[0], 4, 0.01, DAY - lag * 10**9)])
        for instrument, price, ts in also:
            engine.add_instrument(instrument)
            engine.add_data([quote(instrument.id, price, 2, 0.01, ts)])
        engine.add_data([quote(STOCK, SPOT, 4, 0.005)])
        later = DAY + 1000  # a run ends with its last data, and the actor answers one nanosecond after the trigger's
        engine.add_data([Bar(BARS, last, last, last, last, SIZE, later, later)])
        requests: list = []
        engine.kernel.msgbus.subscribe(HEDGE_REQUEST_TOPIC, requests.append)
        settings = {"instruments": {"STK.SIM": ("STK.SIM",)}, "triggers": (STOCK,)} | config
        actor = HedgeActor(HedgeActorConfig(**settings))
        engine.add_actor(actor)
        engine.add_strategy(Holder(holds))
        engine.run()
        return requests, actor

    yield run
    for engine in made:
        engine.dispose()


def test_a_delta_hedge_is_the_book_s_delta_in_stock(ask):
    (request,), _ = ask({CALL.id: -10, WINGS[1].id: 5}, {"target": "delta"})
    book = -10 * unit(CALL)[0] + 5 * unit(WINGS[1])[0]
    assert request.before["delta"] == pytest.approx(book, rel=1e-4)
    order = request.orders["STK.SIM"]
    assert order["quantity"] == round(-book)
    assert order["cost"] == pytest.approx(0.005 * abs(order["quantity"]))
    assert abs(request.after["delta"]) <= 0.5
    assert (request.status, request.target, request.underlying) == ("hedged", "delta", "STK.SIM")
    assert request.risk_after < request.risk_before
    assert request.uncovered == {}
    assert (request.ts_event, request.ts_init) == (DAY, DAY + 1)


def future(name: str, expiry: int) -> FuturesContract:
    instrument_id = InstrumentId(Symbol(name), VENUE)
    step, ten = Price.from_str("0.01"), Quantity.from_int(10)
    return FuturesContract(
        instrument_id, instrument_id.symbol, AssetClass.EQUITY, USD, 2, step, ten, Quantity.from_int(1), "STK", 0,
        expiry, 0, 0,
    )  # fmt: skip


def test_what_has_expired_or_has_no_fresh_price_is_not_traded(ask):
    """Of three futures the one that lives and is quoted; an instrument that is not there is no error."""
    gone, stale, alive = future("GONE", DAY - 10), future("STALE", EXPIRY), future("ALIVE", EXPIRY)
    also = [(gone, 101.0, DAY - 20), (stale, 101.0, DAY - 7 * 10**9), (alive, 101.0, DAY - 6 * 10**9)]
    names = ("GONE.SIM", "STALE.SIM", "NONE.SIM", "ALIVE.SIM")
    config = {"instruments": {"STK.SIM": names}, "max_quote_age_seconds": 6.5}
    (request,), actor = ask({CALL.id: -10}, config, also=also)
    assert set(request.orders) == {"ALIVE.SIM"}
    assert request.orders["ALIVE.SIM"]["quantity"] == round(10 * unit(CALL)[0] / (101.0 * 10 * 0.01))
    assert actor.compute()["STK.SIM"].status == "hedged"


def test_a_beta_says_how_far_an_instrument_moves_with_its_underlying(ask):
    (request,), _ = ask({CALL.id: -10}, {"betas": {"STK.SIM": 2.0}})
    assert request.orders["STK.SIM"]["quantity"] == round(10 * unit(CALL)[0] / 2)
    assert request.orders["STK.SIM"]["price"] == SPOT


def test_settings_by_underlying_scale_its_exposures(ask):
    (plain,), _ = ask({CALL.id: -10}, {})
    (scaled,), _ = ask({CALL.id: -10}, {"spot_move": {"STK.SIM": 0.03, "ETC.SIM": 9.0}})
    assert scaled.before["delta"] == pytest.approx(3 * plain.before["delta"])


def test_stock_that_is_held_counts(ask):
    held = round(10 * unit(CALL)[0])
    requests, actor = ask({CALL.id: -10, STOCK: held}, {"bands": {"delta": 1.0}})
    assert requests == []
    assert actor.compute()["STK.SIM"].status == "unneeded"


def test_delta_gamma_and_vega_come_into_their_bands_with_options(ask):
    config = {"target": "delta_gamma_vega", "bands": {"delta": 5.0, "gamma": 20.0, "vega": 20.0}}
    (request,), _ = ask({CALL.id: -30, PUT.id: -30}, config)
    book = -30 * (unit(CALL) + unit(PUT))
    np.testing.assert_allclose(list(request.before.values()), book, rtol=1e-3, atol=1e-2)
    after = book.copy()
    for contract in (*WINGS, *FAR):
        after += request.orders.get(str(contract.id), NONE)["quantity"] * unit(contract)
    after[0] += request.orders.get("STK.SIM", NONE)["quantity"]
    np.testing.assert_allclose(list(request.after.values()), after, rtol=1e-3, atol=0.5)
    assert request.status == "hedged"
    assert (np.abs(after) <= np.array([5.0, 20.0, 20.0]) + 0.5 * np.abs(unit(FAR[0]))).all()
    assert set(request.orders) <= {"STK.SIM", *(str(contract.id) for contract in (*WINGS, *FAR))}


def test_options_of_other_strategies_are_left_alone_and_expiries_chosen(ask):
    config = {"target": "delta_gamma_vega", "hedger": "Hedger-1", "option_days": (40.0, 70.0)}
    (request,), _ = ask({CALL.id: -30, PUT.id: -30}, config)
    assert set(request.orders) <= {"STK.SIM", *(str(contract.id) for contract in FAR)}


@pytest.mark.parametrize("target", ["minimum_variance", "minimum_es"])
def test_the_least_risk_on_the_scenarios_of_the_var(ask, target):
    law = {"vol_of_vol": 0.06, "spot_vol_correlation": -0.7}
    config = {"target": target, "bar_types": (BARS,), "scenarios": 1000, "hedger": "Hedger-1", **law}
    (request,), _ = ask({CALL.id: -30, PUT.id: -30}, config)
    positions = [position(CALL, -30.0), position(PUT, -30.0)]
    for contract in (*WINGS, *FAR):
        positions.append(position(contract, request.orders.get(str(contract.id), NONE)["quantity"]))
    positions.append(Position("STK.SIM", request.orders.get("STK.SIM", NONE)["quantity"], SPOT))
    history = np.diff(np.log(np.round(CLOSES, 4)))[:, None]
    before, after = (
        measured(scenario_pnl(Book(book), history, scenarios=1000, **law).sum(axis=0), target)
        for book in (positions[:2], positions)
    )
    assert request.risk_before == pytest.approx(before, rel=1e-3)
    (stated,) = request.after.values()
    assert stated == pytest.approx(after, rel=5e-3, abs=1.0)
    assert request.risk_after < 0.3 * request.risk_before
    assert request.status == "hedged"


def position(contract: OptionContract, quantity: float) -> Position:
    kind = "call" if sign(contract) > 0 else "put"
    terms = Option("STK.SIM", kind, float(contract.strike_price), years(contract), VOL, SPOT)
    return Position(str(contract.id), quantity, priced(contract)[0], 100.0, option=terms)


def measured(pnl: np.ndarray, target: str) -> float:
    if target == "minimum_variance":
        return float(pnl.std())
    weights = tail_weights(len(pnl), (0.975,))
    return float(-np.sort(pnl)[: weights.size] @ weights.figures.numpy()[:, 1])


def test_without_a_history_the_answer_says_so(ask):
    (request,), _ = ask({CALL.id: -30}, {"target": "minimum_es", "bar_types": (BARS,), "min_observations": 900})
    assert request.status == "infeasible"
    assert request.reason.startswith("no scenarios of STK.SIM")


def test_limits_make_an_infeasible_answer_with_a_reason(ask):
    config = {"target": "delta_gamma_vega", "option_limit": 2.0, "limits": {"STK.SIM": 10_000.0}}
    (request,), _ = ask({CALL.id: -30, PUT.id: -30}, config)
    assert request.status == "infeasible"
    assert "limits of" in request.reason
    assert all(abs(order["quantity"]) <= 2 for name, order in request.orders.items() if name != "STK.SIM")
    assert 0 < request.risk_after < request.risk_before


def test_what_has_no_value_is_uncovered_and_in_no_figure(ask):
    (request,), _ = ask({CALL.id: -10, PUT.id: -10}, {"volatility_max_age_seconds": 5.0}, lag=6)
    assert request.status == "infeasible"
    assert request.reason == "nothing that is held can be valued"
    assert set(request.uncovered) == {str(CALL.id), str(PUT.id)}
    assert set(request.uncovered.values()) == {"no volatility: neither Greeks nor a quote nor a trade"}
    assert request.orders == {}


def test_an_option_without_a_fresh_quote_counts_and_is_not_traded(ask):
    config = {"target": "delta_gamma_vega", "hedger": "Hedger-1", "bands": {"delta": 5.0}}
    (request,), _ = ask({CALL.id: -10}, config, lag=6)
    assert (request.status, request.uncovered) == ("hedged", {})
    assert len(request.orders) > 1
    (request,), _ = ask({CALL.id: -10}, config | {"max_quote_age_seconds": 5.0}, lag=6)
    assert request.before["delta"] == pytest.approx(-10 * unit(CALL)[0], rel=1e-4)
    assert set(request.orders) == {"STK.SIM"}
    assert request.status == "infeasible"


def test_an_underlying_without_a_price_is_an_answer_too(ask):
    named = {"instruments": {"NONE.SIM": ("NONE.SIM",)}, "underlyings": {"STK": "NONE.SIM"}}
    (request,), _ = ask({CALL.id: -10}, named)
    assert request.status == "infeasible"
    assert request.uncovered == {str(CALL.id): "its underlying NONE.SIM: no price"}


def test_nothing_held_is_nothing_asked(ask):
    requests, actor = ask({}, {})
    assert requests == []
    assert actor.compute()["STK.SIM"].reason == "nothing is held"
