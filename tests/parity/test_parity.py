"""The events of the backtests are the same under each version of NautilusTrader, to the last row.

What may differ stands in `DIFFERENCES`, each with the reason and the most that it comes to.
"""

import json

import pytest

from tests.parity.demo import DEMOS, FILE, run
from tests.parity.differences import DIFFERENCES

RELATIVE = 1e-9  # for another processor's last digits


def differences(found, expected, place=""):
    """Name every place where two logs differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in expected.keys() | found.keys():
            yield from differences(found.get(key), expected.get(key), f"{place}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, pair in enumerate(zip(found, expected, strict=True)):
            yield from differences(*pair, f"{place}[{number}]")
    elif isinstance(expected, float) and isinstance(found, float | int):
        if found != pytest.approx(expected, rel=RELATIVE, abs=1e-12):
            yield f"{place}: {found} instead of {expected}"
    elif found != expected:
        yield f"{place}: {found} instead of {expected}"


def without_documented(name, found, expected):
    """Take out of two logs what may differ; fail where it differs by more."""
    for difference in (one for one in DIFFERENCES if one.log == name):
        for (*_, kind, row), (*_, other) in zip(found, expected, strict=False):
            if kind == difference.kind:
                gap = abs(row.pop(difference.name) - other.pop(difference.name))
                assert gap <= difference.largest, difference


KINDS = {
    "portfolio_risk": {"indicators", "RiskReport", "fill", "position", "account"},
    "option_hedge": {"indicators", "HedgeRequest", "fill", "position", "account"},
    "allocation": {"indicators", "AllocationTarget", "fill", "position", "account"},
    "node_config": {"RiskReport", "RiskBreach", "fill", "position", "account"},
    "hedge": {"indicators", "order", "RiskReport", "GreeksReport", "HedgeRequest"},
    "watch": {"indicators", "order", "RiskReport", "AllocationTarget", "ModelVerdict", "Forecast"},
}


@pytest.mark.parametrize("name", DEMOS)
def test_the_log_of_a_backtest_is_that_of_v1(name):
    expected = json.loads(FILE.read_text(encoding="utf-8"))[name]
    assert {kind for _, kind, _ in expected} == KINDS[name]
    assert sum(kind in ("order", "fill") for _, kind, _ in expected) > 10
    found = run(name)
    without_documented(name, found, expected)
    assert list(differences(found, expected)) == []


def test_a_difference_would_be_seen():
    log = [[1, "fill", ["A", 3, 1.0]], [2, "RiskReport", {"value": 1.0}]]
    other = [[1, "fill", ["A", 3, 1.0]], [2, "RiskReport", {"value": 1.0 + 1e-6}]]
    assert list(differences(other, log)) == ["[1][2].value: 1.000001 instead of 1.0"]
    assert list(differences(log[:1], log))
