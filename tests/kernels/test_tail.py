"""Value at risk, expected shortfall and their errors as weighted order statistics, against loops and simulation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats.mstats import hdquantiles

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.tail import check_levels, jackknife_error, largest, tail_weights

SIZES = [(3, 0.51), (5, 0.7), (20, 0.95), (100, 0.99), (101, 0.99), (250, 0.99), (1000, 0.95), (10_000, 0.999)]


def figures(losses: np.ndarray, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """VaR and ES by level of a sample, or of each row of several samples."""
    weights = tail_weights(losses.shape[-1], levels)
    worst = largest(torch.from_numpy(np.ascontiguousarray(losses)), weights.size)[0].numpy()
    both = worst @ weights.figures.numpy()
    return both[..., : len(levels)], both[..., len(levels) :]


def shortfall_by_loop(losses: np.ndarray, level: float) -> float:
    """Mean of the worst n (1 - level) losses, the last of them counted in part (Acerbi and Tasche 2002)."""
    beyond = len(losses) * (1 - level)
    total, left = 0.0, beyond
    for loss in sorted(losses, reverse=True):
        share = min(1.0, left)
        total += share * loss
        left -= share
        if left <= 0:
            break
    return total / beyond


@pytest.mark.parametrize(("count", "level"), SIZES)
def test_value_at_risk_is_harrell_and_davis_quantile(count: int, level: float) -> None:
    losses = np.random.default_rng(count).standard_t(3, size=count)
    var, _ = figures(losses, (level,))
    tolerance = np.abs(losses).max() * (1e-6 if count < 5 else 1e-10)
    assert var[0] == pytest.approx(float(hdquantiles(losses, [level])[0]), abs=tolerance)


@pytest.mark.parametrize(("count", "level"), SIZES)
def test_expected_shortfall_is_the_mean_of_the_worst(count: int, level: float) -> None:
    losses = np.random.default_rng(count).standard_t(3, size=count)
    _, es = figures(losses, (level,))
    assert es[0] == pytest.approx(shortfall_by_loop(losses, level), rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), count=st.integers(3, 400))
def test_shortfall_is_never_below_value_at_risk(data: st.DataObject, count: int) -> None:
    level = data.draw(st.floats(0.501, 1 - 1 / count))
    losses = data.draw(st.lists(st.floats(-1e6, 1e6), min_size=count, max_size=count))
    var, es = figures(np.array(losses), (level,))
    assert es[0] >= var[0] - 1e-9 * np.abs(losses).max()


@settings(max_examples=60, deadline=None)
@given(count=st.integers(3, 2000), data=st.data())
def test_weights_sum_to_one_and_put_the_shortfall_further_out(count: int, data: st.DataObject) -> None:
    level = data.draw(st.floats(0.501, 1 - 1 / count))
    figures, without_one = tail_weights(count, (level,))
    runs = np.zeros(figures.shape)
    for column, run in zip(runs.T, without_one, strict=True):
        column[run.first : run.first + len(run.weights)] = run.weights
    for table in figures.numpy(), runs:
        assert (table >= 0).all()
        np.testing.assert_allclose(table.sum(axis=0), 1.0, rtol=1e-12)
        outward = np.cumsum(table, axis=0)
        assert (outward[:, 1] >= outward[:, 0] - 1e-9).all()  # so ES >= VaR whatever the losses


@pytest.mark.parametrize(("count", "levels"), [(30, (0.9, 0.95)), (200, (0.95, 0.99)), (2000, (0.99,))])
def test_errors_are_the_jackknife_of_the_whole_sample(count: int, levels: tuple[float, ...]) -> None:
    losses = np.random.default_rng(5).standard_t(4, size=count)
    weights = tail_weights(count, levels)
    worst = largest(torch.from_numpy(losses), weights.size)[0].numpy()
    left_out = np.array([np.concatenate(figures(np.delete(losses, i), levels)) for i in range(count)])
    expected = np.sqrt((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(jackknife_error(worst, weights, count), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("law", "count", "tolerance"),
    [(stats.norm(), 10_000, 0.1), (stats.t(4), 10_000, 0.1), (stats.norm(), 1000, 0.1), (stats.t(4), 1000, 0.12)],
    ids=["normal-10000", "t4-10000", "normal-1000", "t4-1000"],
)
def test_errors_are_the_spread_of_the_estimates(law: stats.rv_continuous, count: int, tolerance: float) -> None:
    """1,200 samples: the root mean square error agrees with the estimates' spread; two errors cover 19 in 20."""
    levels, repeats = (0.95, 0.99), 1200
    weights = tail_weights(count, levels)
    rng = np.random.default_rng(42)
    estimates, errors = np.empty((repeats, 4)), np.empty((repeats, 4))
    for i in range(repeats):
        losses = torch.from_numpy(law.rvs(count, random_state=rng))
        worst = largest(losses, weights.size)[0].numpy()
        estimates[i] = worst @ weights.figures.numpy()
        errors[i] = jackknife_error(worst, weights, count)
    ratio = np.sqrt((errors**2).mean(axis=0)) / estimates.std(axis=0)
    assert np.abs(ratio - 1).max() < tolerance
    quantiles = law.ppf(levels)
    truth = [*quantiles, *(law.expect(lambda x: x, lb=q, conditional=True) for q in quantiles)]
    covered = (np.abs(estimates - truth) < 2 * errors).mean(axis=0)
    assert (covered[:2] > 0.91).all()
    assert (covered[2:] > (0.91 if count * 0.01 >= 100 else 0.83)).all()  # ten losses make a rough error
    assert (covered < 0.98).all()


def test_a_constant_sample_has_no_error() -> None:
    weights = tail_weights(500, (0.95, 0.99))
    worst = np.full(weights.size, 7.0)
    np.testing.assert_allclose(worst @ weights.figures.numpy(), 7.0, rtol=1e-12)
    assert jackknife_error(worst, weights, 500).max() == 0.0


def test_the_largest_come_in_order_with_their_places() -> None:
    losses = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 500)))
    values, index = largest(losses, 20)
    np.testing.assert_array_equal(values.numpy(), -np.sort(-losses.numpy(), axis=1)[:, :20])
    assert torch.equal(losses.gather(1, index), values)


def test_weights_cover_all_levels_of_one_table() -> None:
    both, one = tail_weights(5000, (0.95, 0.999)), tail_weights(5000, (0.999,))
    assert both.levels == 2
    assert both.size > one.size
    np.testing.assert_allclose(both.figures[: one.size, [1, 3]].numpy(), one.figures.numpy(), atol=1e-14)
    assert float(both.figures[one.size :, 1].abs().max()) == 0.0


@pytest.mark.parametrize(
    ("count", "levels", "message"),
    [
        (100, (), "at least one"),
        (100, (0.5,), "must lie between 0.5 and 1"),
        (100, (1.0,), "must lie between 0.5 and 1"),
        (100, (95.0,), "must lie between 0.5 and 1"),
        (100, (float("nan"),), "must lie between 0.5 and 1"),
        (100, (0.95, 0.95), "must differ"),
        (99, (0.99,), "0.99 needs at least 100 scenarios, there are 99"),
        (1000, (0.95, 0.9999), "0.9999 needs at least 10000 scenarios, there are 1000"),
    ],
)
def test_bad_levels_are_refused(count: int, levels: tuple[float, ...], message: str) -> None:
    for refuse in (check_levels, tail_weights):
        with pytest.raises(InputError, match=f"`levels`.*{message}"):
            refuse(count, levels)
    if "needs" in message:
        check_levels(None, levels)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99, 0.999, 0.975])
def test_one_loss_beyond_the_level_is_enough(level: float) -> None:
    count = round(1 / (1 - level))
    losses = np.arange(count, dtype=np.float64)
    var, es = figures(losses, (level,))
    assert es[0] == pytest.approx(count - 1)
    assert count - 4 < var[0] < count - 1
