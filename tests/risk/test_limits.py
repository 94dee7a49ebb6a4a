"""Limits speak at crossings only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.risk.limits import LimitWatch


def test_each_crossing_once():
    watch = LimitWatch({"var": {0.99: 10.0}})
    values = (9.0, 10.0, 10.1, 50.0, 10.0, 3.0, 11.0)
    words = [[c.state for c in watch.check({"var": {0.99: value}})] for value in values]
    assert words == [[], [], ["breach"], [], ["clear"], [], ["breach"]]


def test_an_unknown_figure_keeps_the_state():
    watch = LimitWatch({"es": {0.99: 10.0}})
    assert [c.state for c in watch.check({"es": {0.99: 11.0}})] == ["breach"]
    assert list(watch.check({})) == []
    assert [c.state for c in watch.check({"es": {0.99: 1.0}})] == ["clear"]


@given(st.lists(st.floats(min_value=0, max_value=20)))
def test_words_alternate_and_end_with_the_truth(values):
    watch = LimitWatch({"var": {0.95: 10.0}})
    words = [c.state for value in values for c in watch.check({"var": {0.95: value}})]
    assert words == ["breach", "clear"] * (len(words) // 2) + ["breach"] * (len(words) % 2)
    assert bool(watch.broken) == bool(values and values[-1] > 10.0)


@pytest.mark.parametrize("limits", [{"cvar": {0.9: 1.0}}, {"var": {0.9: 0.0}}, {"es": {0.9: float("nan")}}])
def test_wrong_limits_are_refused(limits):
    with pytest.raises(InputError):
        LimitWatch(limits)
