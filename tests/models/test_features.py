"""Features: by hand, without the future, the same bar by bar as over a whole history."""

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.models.features import COLUMNS, Recipe, make_samples, rolling_standardise

ALL = Recipe(tuple(COLUMNS), window=10, length=4)


def test_a_value_is_standardised_by_the_values_before_it_alone():
    values = np.random.default_rng(1).normal(size=(2, 40))
    made = rolling_standardise(values, 7)
    assert np.isnan(made[:, :7]).all()
    for row in range(2):
        for t in range(7, 40):
            past = [values[row, s] for s in range(t - 7, t)]
            mean = sum(past) / 7
            deviation = (sum((x - mean) ** 2 for x in past) / 7) ** 0.5
            assert made[row, t] == pytest.approx(np.clip((values[row, t] - mean) / deviation, -8, 8), rel=1e-9)


def test_a_constant_past_is_no_division_by_zero():
    made = rolling_standardise(np.array([0.1] * 6 + [0.1, 5.0, -5.0]), 6)
    assert made[6] == pytest.approx(0.0, abs=1e-3)
    assert made[7] == 8.0
    assert rolling_standardise(np.array([0.0] * 7 + [1.0]), 6)[6:].tolist() == [0.0, 8.0]


@pytest.mark.parametrize("cut", [60, 100, 150])
def test_changing_the_future_changes_nothing_before(make_bars, cut):
    bars, other = make_bars(), make_bars()
    other[..., cut:] = make_bars(seed=9)[..., cut:]
    for of in (ALL.features, lambda b: ALL.scale(b)[..., None]):
        before, after = of(bars), of(other)
        np.testing.assert_array_equal(before[:, :cut], after[:, :cut])
        assert not np.allclose(before[:, cut:], after[:, cut:])
    one, two = make_samples(bars, ALL), make_samples(other, ALL)
    past = one.at < cut
    for name in ("inputs", "scale", "last", "mean"):
        np.testing.assert_array_equal(getattr(one, name)[past], getattr(two, name)[past])
    settled = one.at + 1 < cut
    np.testing.assert_array_equal(one.targets[settled], two.targets[settled])


def test_the_last_window_of_a_short_past_equals_the_whole_history(make_bars):
    """What an actor computes bar by bar is what the network was trained on."""
    bars = make_bars()
    whole, scale = ALL.features(bars), ALL.scale(bars)
    for t in range(ALL.needed, 200, 7):
        window, deviation = ALL.last_window(bars[..., t - ALL.needed : t])
        np.testing.assert_allclose(window, whole[:, t - ALL.length : t], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(deviation, scale[:, t - 1], rtol=1e-10)
    assert np.isfinite(whole[:, ALL.needed - ALL.length :]).all()
    assert np.isnan(whole[:, ALL.needed - ALL.length - 1]).any()


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_sample_is_what_is_known_and_what_came(make_bars, horizon):
    bars = make_bars()
    samples = make_samples(bars, ALL, horizon)
    log = np.log(bars[:, 3])
    assert len(samples) == 3 * (200 - ALL.needed + 1 - horizon)
    assert (np.diff(samples.at) >= 0).all()
    features = ALL.features(bars)
    for i in range(0, len(samples), 37):
        t, s = samples.at[i], samples.series[i]
        np.testing.assert_array_equal(samples.inputs[i], features[s, t - 3 : t + 1].astype(np.float32))
        assert samples.returns[i] == pytest.approx(log[s, t + horizon] - log[s, t])
        assert samples.last[i] == pytest.approx(log[s, t] - log[s, t - horizon])
        assert samples.mean[i] == pytest.approx(horizon * (log[s, t] - log[s, 0]) / t)
        past = np.diff(log[s, : t + 1])[-10:]
        assert samples.scale[i] == pytest.approx(past.std() * horizon**0.5)


def test_a_price_that_stands_still_makes_no_sample(make_bars):
    bars = make_bars()
    bars[1, :4, 60:100] = bars[1, 3, 60]
    samples = make_samples(bars, ALL)
    missing = set(range(ALL.needed - 1, 199)) - set(samples.at[samples.series == 1].tolist())
    assert missing == set(range(70, 100))
    assert np.abs(samples.targets).max() < 1e3


def test_what_may_be_learned_at_a_bar_has_its_outcome_by_then(make_bars):
    samples = make_samples(make_bars(), ALL, horizon=5)
    assert samples.known_at(100).at.max() == 95
    between = samples.between(100, 120)
    assert (between.at.min(), between.at.max()) == (100, 119)


def test_a_recipe_survives_plain_values():
    assert Recipe.from_dict(ALL.to_dict()) == ALL


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"columns": ()}, "columns"),
        ({"columns": ("return", "magic")}, "columns"),
        ({"window": 1}, "window"),
        ({"window": 2.5}, "window"),
        ({"length": 0}, "length"),
        ({"clip": 0.0}, "clip"),
    ],
)
def test_a_wrong_recipe_is_refused(options, argument):
    with pytest.raises(InputError, match=f"`{argument}` must"):
        Recipe(**options)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda bars: bars[0], "shape"),
        (lambda bars: bars[:, :4], "shape"),
        (lambda bars: bars[..., : ALL.needed], "at least"),
        (lambda bars: np.where(bars > 100.0, np.nan, bars), "finite"),
        (lambda bars: -bars, "above 0"),
    ],
)
def test_wrong_bars_are_refused(make_bars, change, text):
    with pytest.raises(InputError, match=rf"`bars` must.*{text}"):
        make_samples(change(make_bars()), ALL)
