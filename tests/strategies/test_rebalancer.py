"""The Rebalancer in a real engine: lots, the order of trades, thin markets, refusals and targets that overtake."""

import pytest
from nautilus_trader.model import Quantity

from nautilus_metal.errors import InputError
from nautilus_metal.host.backtest import AccountType
from nautilus_metal.messages import AllocationTarget
from strategies.rebalancer import Rebalancer, RebalancerConfig
from tests.small_system import equity
from tests.strategies.conftest import SECOND, VENUE, Speaker, held, quotes_of, signed

A, B, C = "ABC"
CASH = 100_000


def target(weights: dict[str, float], **changes) -> AllocationTarget:
    fields = {
        "source": "AllocationActor", "objective": "minimum_cvar", "status": "optimal", "reason": "",
        "weights": {f"{name}.SIM": weight for name, weight in weights.items()}, "value": 0.01, "gap": 0.0,
        "residual": 0.0, "expected_return": 0.0, "volatility": 0.01, "scenarios": 100, "device": "cpu", "seed": None,
        "uncovered": {},
    }  # fmt: skip
    return AllocationTarget(0, 0, **(fields | changes))


class Noting(Rebalancer):
    """Keeps its fills in the order in which they come, which their times do not tell."""

    def __init__(self, config) -> None:
        super().__init__(config)
        self.fills: list = []

    def on_order_filled(self, event) -> None:
        self.fills.append(event)
        super().on_order_filled(event)


class Play:
    """One run: what is held at its end, and every fill and order."""

    def __init__(self, engine, script, size, fresh, lots, most, settings) -> None:
        self.engine = engine
        terms = {} if most is None else {"max_quantity": Quantity.from_int(most)}
        for name in (A, B, C):
            engine.add_instrument(equity(f"{name}.SIM", lot=lots, **terms))
            engine.add_data(quotes_of(name, size), sort=False)
        engine.sort_data()
        self.strategy = Noting(RebalancerConfig(**settings))
        engine.add_actor(Speaker(script, fresh))
        engine.add_strategy(self.strategy)
        engine.run()
        self.fills = self.strategy.fills

    def held(self, name: str) -> float:
        return held(self.engine, name)

    def traded(self) -> list[tuple[str, float]]:
        """Symbol and signed quantity of each fill, in order."""
        return [(str(fill.instrument_id.symbol), signed(fill)) for fill in self.fills]


@pytest.fixture
def play(engines):
    def run(script, kind=AccountType.MARGIN, size=100_000, fresh=True, lots=1, most=None, **settings) -> Play:
        return Play(engines(CASH, 1, kind), script, size, fresh, lots, most, settings)

    return run


def test_weights_become_whole_lots_of_the_equity(play):
    run = play({1: [target({"A": 0.5, "B": 0.333, "C": 0.0})]}, reserve=0.0)
    assert (run.held(A), run.held(B), run.held(C)) == (500.0, 333.0, 0.0)
    assert run.strategy.executed == 1
    run = play({1: [target({"A": 0.5, "B": 0.333})]}, reserve=0.0, lots=25)
    assert (run.held(A), run.held(B)) == (500.0, 325.0)


def test_the_reserve_and_given_capital(play):
    assert play({1: [target({"A": 1.0})]}, reserve=0.1, capital=50_000.0).held(A) == 450.0


@pytest.mark.parametrize("kind", [AccountType.CASH, AccountType.MARGIN])
def test_sells_come_before_buys_and_a_cash_account_never_owes(play, kind):
    script = {1: [target({"A": 1.0})], 3: [target({"B": 0.6, "A": 0.4})], 5: [target({"C": 1.0})]}
    run = play(script, kind)
    assert (run.held(A), run.held(B)) == (0.0, 0.0)
    assert run.held(C) == pytest.approx(989, abs=12)
    moves = run.traded()
    for second in (3, 5):
        signs = [quantity > 0 for (_, quantity), fill in zip(moves, run.fills, strict=True)
                 if fill.ts_event // SECOND == second]  # fmt: skip
        assert signs == sorted(signs)
        assert signs[0] is False
    assert not run.strategy.refused
    if kind == AccountType.CASH:
        balances = [event.balances[0].total.as_double() for event in run.engine.cache.account_for_venue(VENUE).events]
        assert min(balances) >= 0.0


def test_what_has_no_weight_is_sold_and_what_is_uncovered_stays(play):
    script = {1: [target({"A": 0.4, "B": 0.4})], 3: [target({"C": 0.2}, uncovered={"B.SIM": "no price"})]}
    run = play(script, reserve=0.0)
    assert (run.held(A), run.held(B)) == (0.0, 400.0)
    assert run.held(C) == pytest.approx(200, abs=1)


def test_short_targets_go_through_zero_in_two_steps(play):
    run = play({1: [target({"A": 0.3})], 3: [target({"A": -0.2})]}, reserve=0.0)
    assert run.held(A) == pytest.approx(-199, abs=1)
    assert [quantity for _, quantity in run.traded()][:2] == [300.0, -300.0]


def test_a_thin_market_is_tried_again_and_then_left(play):
    run = play({1: [target({"A": 0.5})]}, size=100, reserve=0.0, attempts=3)
    assert 100.0 <= run.held(A) <= 300.0
    assert len(run.engine.cache.orders()) == 3
    assert not run.engine.cache.orders_open()
    assert not run.strategy._working


def test_a_market_too_thin_to_sell_in_does_not_hold_up_what_is_bought(play):
    script = {second: [target({"A": 0.9})] for second in (1, 2, 3)} | {5: [target({"B": 0.3})]}
    run = play(script, size=100, reserve=0.0, attempts=2)
    assert run.held(A) >= 200.0
    assert run.held(B) >= 100.0
    assert not run.strategy._working


def test_an_order_over_the_venues_most_is_split(play):
    run = play({1: [target({"A": 0.5})]}, most=200, reserve=0.0, attempts=3)
    assert run.held(A) == 500.0
    assert len(run.engine.cache.orders()) == 3


def test_no_second_order_while_one_works_and_the_newest_target_wins(play):
    script = {1: [target({"A": 0.5}), target({"B": 0.9}), target({"C": 0.5})]}
    run = play(script, reserve=0.0)
    assert run.held(B) == 0.0
    assert run.held(C) == pytest.approx(500, abs=1)
    assert run.held(A) == 0.0
    assert run.strategy.refused == {"overtaken": 1}


def test_a_refused_instrument_is_left_alone_and_the_others_go_on(play):
    script = {1: [target({"A": 0.5, "C": 0.2})], 3: [target({"A": 0.2, "B": 0.3, "C": 0.2})]}
    run = play(script, AccountType.CASH, reserve=0.0)
    assert run.held(B) == pytest.approx(300, abs=3)
    broke = play({1: [target({"A": -0.5, "B": 0.5})]}, AccountType.CASH, reserve=0.0)
    assert broke.held(A) == 0.0
    assert broke.held(B) == pytest.approx(500, abs=5)
    assert broke.strategy.refused["refused by the venue"] == 1


@pytest.mark.parametrize(
    ("message", "settings", "reason"),
    [
        (target({}, status="infeasible"), {}, "infeasible"),
        (target({"A": 0.5}, status="inaccurate"), {}, "inaccurate"),
        (target({"D": 0.5}), {}, "no instrument, price or account"),
    ],
)
def test_targets_that_are_not_traded_are_counted(play, message, settings, reason):
    run = play({1: [message]}, **settings)
    assert not run.fills
    assert run.strategy.refused == {reason: 1}


def test_old_targets_and_other_sources_are_not_traded(play):
    run = play({5: [target({"A": 0.5})]}, fresh=False, max_age_seconds=1.0)
    assert run.strategy.refused == {"out of date": 1}
    assert not play({1: [target({"A": 0.5})]}, source="Another").fills
    assert play({1: [target({"A": 0.5}, status="inaccurate")]}, execute_inaccurate=True).fills


def test_a_weight_within_the_band_is_left_alone(play):
    script = {1: [target({"A": 0.5, "B": 0.3})], 3: [target({"A": 0.51, "B": 0.4})]}
    run = play(script, reserve=0.0, band=0.05)
    assert run.held(A) == 500.0
    assert run.held(B) == pytest.approx(400, abs=1)


def test_it_flattens_on_stop_where_asked(play):
    assert play({1: [target({"A": 0.5})]}, flatten_on_stop=True).held(A) == 0.0


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"capital": 0.0}, "`capital` must be above 0"),
        ({"reserve": 1.0}, "`reserve` must be at least 0 and under 1"),
        ({"band": -0.1}, "`band` must be"),
        ({"max_age_seconds": 0.0}, "`max_age_seconds` must be above 0"),
        ({"attempts": 0}, "`attempts` must be at least 1"),
    ],
)
def test_bad_settings_are_refused(settings, text):
    with pytest.raises(InputError, match=text):
        RebalancerConfig(**settings)
