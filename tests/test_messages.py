"""Messages survive bytes, dictionaries, Arrow and a catalog to the last digit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.messages import (
    MESSAGES,
    AllocationTarget,
    DeviceConditions,
    EngineEvent,
    Forecast,
    GreeksReport,
    HedgeRequest,
    ModelSwitch,
    ModelVerdict,
    RiskBreach,
    RiskReport,
    RiskStale,
    StressReport,
    level_key,
)

amounts = st.floats(allow_nan=False, allow_infinity=False)


def report(ts: int = 1_700_000_000_000_000_000, var: float = 0.1 + 0.2, drift: float | None = 1e-7) -> RiskReport:
    return RiskReport(
        ts_event=ts,
        ts_init=ts + 1,
        source="RiskActor",
        model="normal",
        sampler="pseudo",
        device="cpu",
        seed=7,
        scenarios=10_000,
        horizon=1,
        base_currency="USD",
        value=-1e6 / 3,
        levels={"0.99": {"var": var, "es": 2 * var, "var_se": 0.01, "es_se": 0.02}},
        positions={"AAA.XNYS": {"quantity": -3.0, "price": 1 / 3, "component_var": {"0.99": var}}},
        uncovered={"BBB.XNYS": "no price"},
        worst_loss=3.0,
        drift=drift,
        milliseconds=1.25,
        pool_hit_rate=0.9,
        ts_snapshot=ts - 1,
        age=1 / 3,
        skipped=2,
    )


def breach(ts: int = 1_700_000_000_000_000_000) -> RiskBreach:
    return RiskBreach(ts, ts + 1, "RiskActor", "normal", "var", 0.99, 100.0, 123.456, "breach")


def stale(ts: int = 1_700_000_000_000_000_000) -> RiskStale:
    return RiskStale(ts, ts + 1, "RiskActor", "stale", "deadline", "no figures within 5 ms")


def engine_event(ts: int = 1_700_000_000_000_000_000) -> EngineEvent:
    return EngineEvent(ts, ts, "mps", "cpu", "degraded", "RuntimeError: gone")


def conditions(ts: int = 1_700_000_000_000_000_000) -> DeviceConditions:
    return DeviceConditions(ts, ts + 1, "mps", "serious", "unknown", "shrink", "mps", "it runs hot")


def hedge(ts: int = 1_700_000_000_000_000_000) -> HedgeRequest:
    order = {"quantity": -3.0, "held": 1.0, "limit": None, "price": 1 / 3, "cost": 0.5}
    figures = ({"SPY.ARCX": order}, {"delta": 0.1 + 0.2}, {"delta": 0.0}, 0.3, 0.0, 0.5, {"A": "no quote"})
    return HedgeRequest(ts, ts + 1, "HedgeActor", "delta", "SPX.CBOE", "hedged", "outside the bands", "USD", *figures)


def greeks(ts: int = 1_700_000_000_000_000_000) -> GreeksReport:
    measures = {"delta": 1 / 3, "vega": -1e6 / 7}
    row = measures | {"volatility": 0.2, "volatility_source": "quote", "volatility_age": 0.0}
    return GreeksReport(ts, ts + 1, "RiskActor", "USD", 1e6 / 3, measures, {"S": measures}, {"C": row}, {"P": "why"})


def stress(ts: int = 1_700_000_000_000_000_000) -> StressReport:
    rows = {"crash": {"profit": -1e6 / 3, "spot": -0.2, "volatility": 0.5, "days": 0.0}}
    grid = {"spots": [-0.1], "volatilities": [0.0], "days": [0.0, 1.0], "profits": [[[1 / 3, 0.1 + 0.2]]]}
    return StressReport(ts, ts + 1, "RiskActor", "USD", 1e6 / 3, rows, grid, {"P": "why"})


def allocation(ts: int = 1_700_000_000_000_000_000) -> AllocationTarget:
    figures = ({"A.XNYS": 1 / 3, "B.XNYS": 2 / 3}, 0.1 + 0.2, 1e-9, 0.0, 1e-3, 0.01, 1_000, "cpu", None)
    status = ("inaccurate", "the gap is wide")
    return AllocationTarget(ts, ts + 1, "AllocationActor", "minimum_cvar", *status, *figures, {"C.XNYS": "no price"})


def forecast(ts: int = 1_700_000_000_000_000_000) -> Forecast:
    rows = {"AAA.XNYS": {"value": 0.1 + 0.2, "volatility": 1 / 3, "price": 100.0, "closed_at": ts}}
    return Forecast(ts, ts + 1, "ForecastActor", "lstm", "0123456789abcdef", None, 1, rows, {"B": "no bars"}, 1 / 3)


def verdict(ts: int = 1_700_000_000_000_000_000) -> ModelVerdict:
    levels = {"0.99": {"days": 3, "exceptions": 1, "kupiec_p": None, "zone": "green", "log_wealth": 0.1 + 0.2}}
    counts = (ts - 5, 3, 1, 0, 2)
    day = (None, -1 / 3, {"A.XNYS": "no price of that close"})
    outcome = (1 / 3, 20.0, True, "student_t", "in words", 1.5)
    return ModelVerdict(ts, ts + 1, "V-001", "R-001", "normal", 1, "USD", *counts, *day, levels, *outcome)


def switch(ts: int = 1_700_000_000_000_000_000) -> ModelSwitch:
    return ModelSwitch(ts, ts + 1, "R-001", "normal", "student_t", {"degrees": 4.0}, "in words")


EXAMPLES = {
    RiskReport: report,
    RiskBreach: breach,
    RiskStale: stale,
    EngineEvent: engine_event,
    DeviceConditions: conditions,
    GreeksReport: greeks,
    StressReport: stress,
    HedgeRequest: hedge,
    AllocationTarget: allocation,
    Forecast: forecast,
    ModelVerdict: verdict,
    ModelSwitch: switch,
}


def same(left, right) -> bool:
    return left.to_dict() == right.to_dict() and (left.ts_event, left.ts_init) == (right.ts_event, right.ts_init)


@pytest.mark.parametrize("kind", MESSAGES)
def test_round_trip_through_dictionary_bytes_and_arrow(kind):
    message = EXAMPLES[kind]()
    assert same(kind.from_dict(message.to_dict()), message)
    assert same(kind.from_bytes(message.to_bytes()), message)
    assert same(kind.from_arrow(message.to_arrow())[0], message)


@given(var=amounts)
def test_no_digit_is_lost_in_arrow(var):
    back = RiskReport.from_arrow(report(var=var).to_arrow())[0]
    assert math.copysign(1, back.var(0.99)) * abs(back.var(0.99)) == math.copysign(1, var) * abs(var)


def test_an_unknown_figure_stays_none():
    assert RiskReport.from_arrow(report(drift=None).to_arrow())[0].drift is None


def test_no_name_is_the_beginning_of_another():
    """A topic without metadata ends in a wildcard, so such a pair would hear each other's messages."""
    names = [kind.__name__ for kind in MESSAGES]
    assert not [(a, b) for a in names for b in names if a != b and b.startswith(a)]


def test_figures_by_level():
    assert report(var=5.0).var(0.99) == 5.0
    assert report(var=5.0).es(0.99) == 10.0
    assert level_key(0.99) == "0.99"
    with pytest.raises(InputError, match=r"`level` must be one of 0\.99, was 0\.95"):
        report().var(0.95)
