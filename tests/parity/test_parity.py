"""The events of three demos are the same under each version of NautilusTrader, to the last row.

There is no documented difference in what the demos show: what does differ between the hosts (see the README) is an
order of delivery on which nothing here depends.
"""

import json

import pytest

from tests.parity.demo import DEMOS, FILE, run

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


KINDS = {
    "demo": {"indicators", "positions", "order", "RiskReport", "RiskBreach"},
    "hedge": {"indicators", "order", "RiskReport", "GreeksReport", "HedgeRequest"},
    "watch": {"indicators", "order", "RiskReport", "AllocationTarget", "ModelVerdict", "Forecast"},
}


@pytest.mark.parametrize("name", DEMOS)
def test_the_log_of_a_demo_is_that_of_v1(name):
    expected = json.loads(FILE.read_text(encoding="utf-8"))[name]
    assert {kind for _, kind, _ in expected} == KINDS[name]
    assert sum(kind == "order" for _, kind, _ in expected) > 10
    assert list(differences(run(name), expected)) == []


def test_a_difference_would_be_seen():
    log = [[1, "fill", ["A", 3, 1.0]], [2, "RiskReport", {"value": 1.0}]]
    other = [[1, "fill", ["A", 3, 1.0]], [2, "RiskReport", {"value": 1.0 + 1e-6}]]
    assert list(differences(other, log)) == ["[1][2].value: 1.000001 instead of 1.0"]
    assert list(differences(log[:1], log))
