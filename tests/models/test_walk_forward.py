"""Walk forward: no fold sees its future, scores by hand, and a verdict that skill earns and noise does not."""

import numpy as np
import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.models.features import Recipe, make_samples
from nautilus_metal.models.walk_forward import NAIVE, clustered_mean, walk_forward

RECIPE = Recipe(("return",), window=10, length=4)


def noise(samples):
    return lambda inputs: np.random.default_rng(0).normal(size=len(inputs))


def test_a_fold_is_trained_on_what_is_known_before_it(make_bars):
    samples, seen = make_samples(make_bars(), RECIPE, horizon=3), []

    def fit(past):
        seen.append(past)
        return lambda inputs: np.zeros(len(inputs))

    made = walk_forward(samples, fit, [80, 120, 160])
    assert [int(past.at.max()) for past in seen] == [76, 116, 156]
    assert made.trained == tuple(len(past) for past in seen)
    np.testing.assert_array_equal(made.samples.at, samples.between(80, 200).at)


def test_scores_by_hand(make_bars):
    samples = make_samples(make_bars(), RECIPE)
    made = walk_forward(samples, noise, [100])
    truth = made.samples.returns
    guesses = {"model": made.forecasts, **{name: naive(made.samples) for name, naive in NAIVE.items()}}
    for score in made.scores:
        guess = guesses[score.name]
        squares = [(a - b) ** 2 for a, b in zip(guess, truth, strict=True)]
        assert score.rmse == pytest.approx((sum(squares) / len(squares)) ** 0.5)
        signs = [(a > 0) == (b > 0) for a, b in zip(guess, truth, strict=True) if a and b]
        assert score.hit_rate == (pytest.approx(sum(signs) / len(signs)) if signs else None)
        if score.name != "model":
            assert score.skill == pytest.approx(1 - made.scores[0].rmse ** 2 / score.rmse**2)
    assert guesses["last price"].tolist() == [0.0] * len(truth)


def test_a_model_with_skill_is_told_from_one_without(make_bars):
    """Returns that follow the last one, against forecasts that know it, that are noise, and that are nothing."""
    steps = np.random.default_rng(5).normal(scale=0.01, size=(3, 600))
    for t in range(1, 600):
        steps[:, t] += 0.5 * steps[:, t - 1]
    samples = make_samples(make_bars(returns=steps), RECIPE)

    def knows(past):
        slope = np.polyfit(past.inputs[:, -1, 0], past.targets, 1)
        return lambda inputs: np.polyval(slope, inputs[:, -1, 0])

    def nothing(past):
        return lambda inputs: np.zeros(len(inputs))

    assert walk_forward(samples, knows, [300]).beats_naive
    noisy = walk_forward(samples, noise, [300])
    assert not noisy.beats_naive
    assert {score.name: score.verdict for score in noisy.scores}["last price"] == "worse"
    assert walk_forward(samples, nothing, [300]).scores[1].verdict == "no different"


def test_the_standard_error_is_that_of_days_not_of_series():
    """Series that move as one are one observation; it holds in repetition too."""
    draw = np.random.default_rng(2)
    means, errors = [], []
    at = np.repeat(np.arange(250), 20)
    for _ in range(400):
        mean, error = clustered_mean(np.repeat(draw.normal(size=250), 20), at, 1)
        means.append(mean)
        errors.append(error)
    spread = np.std(means)
    assert np.mean(errors) == pytest.approx(spread, abs=4 * spread / np.sqrt(2 * 400))


def test_overlapping_outcomes_widen_the_standard_error():
    draw = np.random.default_rng(2)
    pieces = np.convolve(draw.normal(size=2_004), np.ones(5), "valid")
    at = np.arange(2_000)
    assert clustered_mean(pieces, at, 5)[1] > 1.5 * clustered_mean(pieces, at, 1)[1]


@pytest.mark.parametrize(
    ("fit", "starts", "argument"),
    [
        (noise, [], "starts"),
        (noise, [120, 80], "starts"),
        (noise, [80, 80], "starts"),
        (noise, [5], "starts"),
        (noise, [500], "starts"),
        (lambda past: lambda inputs: np.full(len(inputs), np.nan), [80], "fit"),
        (lambda past: lambda inputs: np.zeros(3), [80], "fit"),
    ],
)
def test_wrong_folds_and_forecasts_are_refused(make_bars, fit, starts, argument):
    with pytest.raises(InputError, match=f"`{argument}` must"):
        walk_forward(make_samples(make_bars(), RECIPE), fit, starts)
