"""Payoffs on given paths: barriers and extremes against fine simulation and against each other."""

import math

import pytest
import torch

from nautilus_metal.kernels import payoffs
from nautilus_metal.kernels.brownian import draws
from nautilus_metal.kernels.paths import Parameters, Paths, black_scholes_paths

SPOT, VOLATILITY, EXPIRY = 100.0, 0.3, 1.0


def simulated(steps, count=20_000, seed=1, extra=0):
    one = torch.ones(count, dtype=torch.float64)
    p = Parameters(SPOT * one[None], VOLATILITY * one[None], 0.03 * one, EXPIRY * one, torch.zeros(1, 1))
    return black_scholes_paths(p, draws(1, steps, extra, count, seed), torch.ones(1, 1, dtype=torch.float64))


def coarse(paths: Paths, every: int) -> Paths:
    """The same paths with fewer rows."""
    rows = paths.variances.shape[0] // every
    variances = paths.variances.reshape(rows, every, -1).sum(1)
    return paths._replace(spots=paths.spots[:, ::every], variances=variances, uniforms=paths.uniforms[:rows])


@pytest.mark.parametrize(("level", "direction"), [(120.0, 1), (85.0, -1)])
def test_survival_of_few_rows_is_that_of_many_on_average(level, direction):
    fine = simulated(64)
    many = payoffs.survival(fine, level, direction)
    for every in (8, 64):
        few = payoffs.survival(coarse(fine, every), level, direction)
        assert ((few >= 0) & (few <= 1)).all()
        gap = few - many
        assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(len(gap))
    assert not many[(direction * (fine.spots[0] - level) >= 0).any(0)].any()


@pytest.mark.parametrize("direction", [1, -1])
def test_sampled_and_expected_extremes_agree_and_bound_the_rows(direction):
    paths = simulated(1, extra=1)
    sampled = payoffs.extreme(paths, direction)
    ends = direction * paths.spots[0]
    assert (direction * sampled >= ends.amax(0) - 1e-9).all()
    for strike in (None, 90.0, 100.0, 115.0):
        kept = sampled if strike is None else (direction * sampled).clamp(min=direction * strike) * direction
        gap = kept - payoffs.expected_extreme(paths, direction, strike)
        assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(len(gap))


def test_lookbacks_of_many_steps_agree_with_one():
    fine = simulated(16, extra=16)
    one = coarse(fine, 16)
    for kind in payoffs.LOOKBACKS:
        for sign in (1.0, -1.0):
            gap = payoffs.lookback(fine, kind, 105.0, sign) - payoffs.lookback(one, kind, 105.0, sign)
            assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(len(gap))


@pytest.mark.parametrize("strike", [112.0, 135.0])
def test_curvature_is_the_density_of_the_extreme_in_any_number_of_rows(strike):
    fine = simulated(16, count=60_000)
    below = [float((payoffs.survival(fine, level, 1)).mean()) for level in (strike - 0.5, strike + 0.5)]
    expected = (below[1] - below[0]) * (strike / SPOT) ** 2
    for every in (1, 16):
        found = payoffs.lookback_curvature(coarse(fine, every), "fixed", strike, 1.0)
        error = float(found.std()) / math.sqrt(len(found))
        assert error < 0.01 * expected or every == 1
        assert abs(float(found.mean()) - expected) < 4 * error
    assert not payoffs.lookback_curvature(fine, "fixed", SPOT - 1, 1.0).any()
    assert not payoffs.lookback_curvature(fine, "floating", math.nan, 1.0).any()


def test_averages_of_every_other_step():
    paths = simulated(4)
    torch.testing.assert_close(payoffs.average(paths, "arithmetic", 2), paths.spots[0, 2::2].mean(0))


def test_averages_leave_out_today_and_are_ordered():
    paths = simulated(4)
    arithmetic, geometric = (payoffs.average(paths, kind) for kind in payoffs.AVERAGES)
    torch.testing.assert_close(arithmetic, paths.spots[0, 1:].mean(0))
    assert (geometric <= arithmetic).all()


def test_gradients_are_finite_where_paths_touch_the_barrier():
    paths = simulated(2, 4)
    rows = [[100.0, 120.0, 110.0], [100.0, 119.999999, 110.0], [100.0, 130.0, 90.0], [100.0, 100.0, 100.0]]
    spots = torch.tensor(rows, dtype=torch.float64).T.unsqueeze(0).contiguous().requires_grad_()
    made = paths._replace(spots=spots)
    payoffs.survival(made, 120.0, 1).sum().backward()
    assert torch.isfinite(spots.grad).all()
    assert payoffs.survival(made, 120.0, 1)[0] == 0
