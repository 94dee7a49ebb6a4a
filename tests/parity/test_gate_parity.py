"""A gate and a controller decide the same under each version of NautilusTrader: every event, to the last digit.

What the hosts themselves do in other ways is left out where the plays are made, and said there.
"""

import json
from collections import Counter

import pytest

from tests.parity.gate import FILE, PLAYS, run
from tests.parity.test_parity import differences

DENIED, TRIMMED, REJECTED = "OrderDenied", "OrderUpdated", "OrderModifyRejected"
SHOWN = {  # what a play is there for, and how many of it there are at least
    "deny": {DENIED: 15, REJECTED: 1},
    "trim": {DENIED: 15, TRIMMED: 5},
    "allow": {DENIED: 15},
    "states": {DENIED: 8, REJECTED: 3},
    "gated states": {DENIED: 8},
    "hedging states": {DENIED: 8},
    "random, trimmed": {DENIED: 20, TRIMMED: 10},
    "random, denied": {DENIED: 20},
}


@pytest.mark.parametrize("name", PLAYS)
def test_the_decisions_are_those_of_v1(name):
    expected = json.loads(FILE.read_text(encoding="utf-8"))[name]
    kinds = Counter(what[1] for _, kind, what in expected if kind.startswith("Desk") and isinstance(what, list))
    assert all(kinds[kind] >= count for kind, count in SHOWN[name].items()), kinds
    assert list(differences(run(name), expected)) == []
