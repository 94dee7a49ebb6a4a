"""P&L of options between two closes: by their marks, by their payoff at the expiry, or unknown."""

import pytest

from nautilus_metal.actors import RiskActor, RiskActorConfig, ValidationActor, ValidationActorConfig
from nautilus_metal.messages import MODEL_VERDICT_TOPIC
from tests.actors.option_cases import DAYS, SMALL, STOCK, Buyer, premium
from tests.small_system import DAY, bar_type

CALL = "AAA-C105.XNYS"


def played(desk, orders):
    """Trade an option with a RiskActor and a ValidationActor listening; return verdicts by day."""
    desk.add(STOCK, desk.closes)
    verdicts: list = []
    desk.engine.kernel.msgbus.subscribe(MODEL_VERDICT_TOPIC, verdicts.append)
    risk = RiskActor(RiskActorConfig(bar_types=(bar_type(STOCK),), rate=0.03, **SMALL))
    desk.run([risk, ValidationActor(ValidationActorConfig(window=20))], [Buyer(orders)])
    return {verdict.ts_event // DAY: verdict for verdict in verdicts}


def test_an_option_is_worth_its_quote_at_both_closes(desk):
    """Two contracts short beside the stock; on day 50 they are bought back, and marked all the same."""
    run = desk().option(CALL, "call", 105.0)
    found = played(run, {30: [(STOCK, 100), (CALL, -2)], 50: [(CALL, 2)]})
    for day in (31, 45, 50, 51):
        marks = [premium("call", 105.0, run.closes[one - 1], one, 0.25) for one in (day - 1, day)]
        stock = 100 * (run.closes[day - 1] - run.closes[day - 2])
        short = -200 * (marks[1] - marks[0]) if day <= 50 else 0.0
        assert found[day].pnl == pytest.approx(stock + short, abs=1e-3)
    assert found[DAYS].unknown_days == 0


def test_an_option_without_a_new_quote_is_unknown(desk):
    found = played(desk().option(CALL, "call", 105.0, days=range(1, 41)), {30: [(CALL, 1)]})
    assert found[40].pnl is not None
    assert found[41].pnl is None
    assert found[41].unknown == {CALL: "neither Greeks nor a quote nor a trade since the report"}
    assert (found[41].unknown_days, found[41].days) == (1, 10)


@pytest.mark.parametrize("strike", [90.0, 100.0])
def test_an_option_that_expires_at_the_close_is_worth_its_payoff(desk, strike):
    run = desk().option(CALL, "call", strike, days=range(1, 45), expiry=45)
    found = played(run, {30: [(CALL, 1)]})
    before = premium("call", strike, run.closes[43], 44, 0.25, expiry=45)
    assert found[45].pnl == pytest.approx(100 * (max(0.0, run.closes[44] - strike) - before), abs=1e-3)
