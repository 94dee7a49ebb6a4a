"""The Hedger in a real engine: what it trades of the requests that it hears, and what it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model import Quantity

from nautilus_metal.errors import InputError
from nautilus_metal.host import broadcast
from nautilus_metal.host.backtest import fills_of
from nautilus_metal.messages import HedgeRequest
from strategies.hedger import Hedger, HedgerConfig, within
from tests.small_system import equity
from tests.strategies.conftest import SECOND, Speaker, held, instrument_id, quotes_of, signed

FUND, OTHER = "FUND", "OTHER"


def request(orders: dict[str, float], ts: int = 0, **changes) -> HedgeRequest:
    fields = {
        "source": "HedgeActor",
        "target": "delta",
        "underlying": "FUND.SIM",
        "status": "hedged",
        "reason": "into the bands",
        "base_currency": "USD",
        "orders": {name: {"quantity": quantity, "held": 0.0, "limit": None} for name, quantity in orders.items()},
        "before": {"delta": 100.0},
        "after": {"delta": 0.0},
        "risk_before": 100.0,
        "risk_after": 0.0,
        "cost": 1.0,
        "uncovered": {},
    }
    return HedgeRequest(ts, ts, **(fields | changes))


@pytest.fixture
def play(engines):
    """Run requests against a market with quotes every second; return what was held after each, and the hedger."""

    def run(script, size=10_000, fresh=True, most=100_000, least=1, quoted=(FUND, OTHER), **settings):
        engine = engines()
        for name in (FUND, OTHER):
            bounds = {"max_quantity": Quantity.from_int(most), "min_quantity": Quantity.from_int(least)}
            engine.add_instrument(equity(f"{name}.SIM", **bounds))
            if name in quoted:
                engine.add_data(quotes_of(name, size), sort=False)
        engine.sort_data()
        hedger = Hedger(HedgerConfig(**settings))
        speaker = Speaker(script, fresh)
        engine.add_actor(speaker)
        engine.add_strategy(hedger)
        engine.run()
        return Held(engine, speaker), hedger

    return run


class Held:
    """Net quantities, now and by second."""

    def __init__(self, engine, speaker) -> None:
        self.engine, self.speaker, self.fills = engine, speaker, fills_of(engine.cache)

    def now(self, name: str = FUND) -> float:
        return held(self.engine, name)

    def largest(self, name: str = FUND) -> float:
        """The largest absolute quantity held at any time."""
        held = most = 0.0
        for fill in self.fills:
            if str(fill.instrument_id.symbol) == name:
                held += signed(fill)
                most = max(most, abs(held))
        return most

    def positions(self) -> int:
        return self.engine.cache.positions_open_count()


def test_requests_are_executed_leg_by_leg(play):
    held, hedger = play({1: [request({"FUND.SIM": 120.0, "OTHER.SIM": -30.0})], 3: [request({"FUND.SIM": -50.0})]})
    assert (held.now(FUND), held.now(OTHER)) == (70.0, -30.0)
    assert hedger.executed == 2
    assert not hedger.refused
    assert held.positions() == 2


def test_a_flip_closes_what_is_held_first(play):
    held, _ = play({1: [request({"FUND.SIM": 20.0})], 2: [request({"FUND.SIM": -50.0})]})
    assert held.now() == -30.0
    assert held.positions() == 1


def test_no_second_request_while_orders_work_or_from_before_a_fill(play):
    held, hedger = play({1: [request({"FUND.SIM": 20.0}), request({"FUND.SIM": 20.0})]})
    assert held.now() == 20.0
    assert hedger.refused == {"orders at work": 1}
    old = request({"FUND.SIM": 20.0}, ts=SECOND)
    held, hedger = play({1: [request({"FUND.SIM": 20.0}, ts=SECOND + 1)], 2: [old]}, fresh=False)
    assert held.now() == 20.0
    assert hedger.refused == {"out of date": 1}
    held, hedger = play({3: [old]}, fresh=False, max_age_seconds=1.0)
    assert (held.now(), hedger.refused) == (0.0, {"out of date": 1})


def test_underlyings_do_not_wait_for_one_another(play):
    other = {"underlying": "OTHER.SIM"}
    script = {
        1: [request({"FUND.SIM": 20.0}), request({"OTHER.SIM": 5.0}, **other), request({"OTHER.SIM": 5.0}, **other)],
        2: [request({"FUND.SIM": 1.0}), request({"OTHER.SIM": 1.0}, **other)],
    }
    held, hedger = play(script)
    assert (held.now(FUND), held.now(OTHER)) == (21.0, 6.0)
    assert hedger.refused == {"orders at work": 1}
    before = request({"OTHER.SIM": 5.0}, ts=SECOND, **other)  # made before the fill in the other underlying
    held, hedger = play({1: [request({"FUND.SIM": 20.0}, ts=SECOND + 1)], 2: [before]}, fresh=False)
    assert (held.now(OTHER), hedger.refused) == (5.0, {})


def test_a_market_that_has_no_price_rejects_and_the_instrument_is_left_alone(play):
    script = {second: [request({"OTHER.SIM": 5.0, "FUND.SIM": 1.0})] for second in (1, 2, 7)}
    held, hedger = play(script, quoted=(FUND,), retry_seconds=4.0)
    assert (held.now(OTHER), held.now(FUND)) == (0.0, 3.0)
    assert hedger.refused == {"refused by the venue": 1}
    statuses = [order.status.name for order in held.engine.cache.orders(instrument_id=instrument_id(OTHER))]
    assert statuses in (["REJECTED"] * 2, ["DENIED"] * 2)  # by the venue; by v2's risk engine


def test_lots_are_whole_and_not_below_the_least(play):
    held, hedger = play({1: [request({"FUND.SIM": 20.7})], 2: [request({"FUND.SIM": 0.9})]})
    assert held.now() == 20.0
    assert hedger.refused == {"less than one lot": 1}
    held, hedger = play({1: [request({"FUND.SIM": 9.0})], 2: [request({"FUND.SIM": 10.0})]}, least=10)
    assert (held.now(), hedger.refused) == (10.0, {"less than one lot": 1})


def test_what_a_thin_market_leaves_is_left_to_the_next_request(play):
    held, hedger = play({1: [request({"FUND.SIM": 50.0})], 3: [request({"FUND.SIM": 20.0})]}, size=30)
    assert held.now() == 50.0
    assert [fill.last_qty.as_double() for fill in held.fills] == [30.0, 20.0]
    assert hedger.executed == 2
    assert not held.engine.cache.orders_open()


@pytest.mark.parametrize(
    ("settings", "change", "reason"),
    [
        ({"min_removed": 200.0}, {}, "within the band"),
        ({"min_share": 0.5}, {"risk_after": 60.0}, "within the band"),
        ({}, {"risk_after": float("nan")}, "within the band"),
        ({"execute_infeasible": False}, {"status": "infeasible"}, "infeasible"),
        ({}, {"status": "unneeded"}, "nothing to trade"),
    ],
)
def test_what_is_not_worth_it_is_not_traded(play, settings, change, reason):
    held, hedger = play({1: [request({"FUND.SIM": 20.0}, **change)]}, **settings)
    assert (held.now(), hedger.executed, hedger.refused) == (0.0, 0, {reason: 1})


def test_an_answer_without_orders_is_not_traded(play):
    _, hedger = play({1: [request({}, status="infeasible", risk_after=100.0)]})
    assert (hedger.executed, hedger.refused) == (0, {"nothing to trade": 1})


def test_an_infeasible_hedge_is_traded_as_near_as_it_may(play):
    held, _ = play({1: [request({"FUND.SIM": 20.0}, status="infeasible", risk_after=50.0)]})
    assert held.now() == 20.0


def test_other_sources_are_not_heard(play):
    held, hedger = play({1: [request({"FUND.SIM": 20.0}, source="Else")]}, source="HedgeActor")
    assert (held.now(), hedger.executed, hedger.refused) == (0.0, 0, {})


def test_limits_hold_at_any_time(play):
    script = {s: [request({"FUND.SIM": 40.0, "OTHER.SIM": -7.0, "NONE.SIM": 1.0})] for s in range(1, 6)}
    held, hedger = play(script, limits={"FUND.SIM": 100.0}, default_limit=10.0)
    assert held.largest(FUND) == held.now(FUND) == 100.0
    assert held.largest(OTHER) == -held.now(OTHER) == 10.0
    assert hedger.refused == {"beyond the limit": 2 + 3, "not known": 5}


def test_an_instrument_that_the_venue_refuses_is_left_alone(play):
    script = {second: [request({"FUND.SIM": size})] for second, size in ((1, 5_000.0), (2, 1.0), (7, 1.0))}
    held, hedger = play(script, most=1_000, retry_seconds=4.0)
    assert held.now() == 1.0
    assert hedger.refused == {"refused by the venue": 1}


def test_flattens_at_the_end_where_asked(play):
    held, _ = play({1: [request({"FUND.SIM": 20.0})]}, flatten_on_stop=True)
    assert held.now() == 0.0


def test_a_second_run_is_like_the_first(play):
    """Neither fills nor refusals of the first run, which are later, are in its way."""
    script = {second: [request({"FUND.SIM": size})] for second, size in ((1, 20.0), (2, 5_000.0), (7, 1.0))}
    script[8] = [request({"OTHER.SIM": 5.0})]
    held, hedger = play(script, most=1_000, retry_seconds=1e6)
    first = held.now(), hedger.executed, dict(hedger.refused)
    assert first == (20.0, 3, {"refused by the venue": 1})
    held.engine.reset()
    assert (hedger.executed, hedger.refused) == (0, {})
    held.engine.run()
    assert (held.now(), hedger.executed, dict(hedger.refused)) == first


def test_a_stopped_hedger_hears_nothing(play):
    held, hedger = play({1: [request({"FUND.SIM": 20.0})]})
    broadcast(held.speaker.msgbus, request({"FUND.SIM": 20.0}, ts=10 * SECOND))
    assert (hedger.executed, hedger.refused) == (1, {})


@given(held=st.floats(-1e6, 1e6), quantity=st.floats(-1e6, 1e6), limit=st.floats(0, 1e6))
def test_a_cut_trade_never_goes_further_beyond_the_limit(held, quantity, limit):
    cut = within(held, quantity, limit)
    assert cut * quantity >= 0
    assert abs(cut) <= abs(quantity)
    assert abs(held + cut) <= max(limit, abs(held)) + 1e-6


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("limits", {"A": -1.0}, "`limits of A` must be at least 0, was -1.0"),
        ("default_limit", -1.0, "`default_limit` must be at least 0, was -1.0"),
        ("min_removed", -1.0, "`min_removed` must be at least 0, was -1.0"),
        ("min_share", 1.0, "`min_share` must be at least 0 and under 1, was 1.0"),
        ("max_age_seconds", 0.0, "`max_age_seconds` must be above 0 seconds, was 0.0"),
        ("retry_seconds", -1.0, "`retry_seconds` must be at least 0 seconds, was -1.0"),
    ],
)
def test_an_error_names_setting_requirement_and_value(setting, value, message):
    with pytest.raises(InputError, match=message):
        HedgerConfig(**{setting: value})
