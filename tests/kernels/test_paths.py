"""Draws and paths: bridges, pairs, moments, martingales, and variances that stay above zero."""

import math

import numpy as np
import pytest
import torch

from nautilus_metal.kernels.brownian import SCRAMBLES, bridge_matrix, draws, stream_seed
from nautilus_metal.kernels.gaussian import student_quantile
from nautilus_metal.kernels.heston import Heston, heston_paths
from nautilus_metal.kernels.merton import Jumps, merton_paths, poisson_counts
from nautilus_metal.kernels.paths import Parameters, black_scholes_paths, elapsed, step_lengths


def parameters(count, spot=(100.0,), volatility=(0.3,), rate=0.04, expiry=2.0, dividend_yield=0.01):
    def spread(numbers):
        return torch.tensor(numbers, dtype=torch.float64).unsqueeze(-1).expand(-1, count).contiguous()

    yields = torch.full((len(spot), 1), dividend_yield, dtype=torch.float64)
    return Parameters(spread(spot), spread(volatility), spread([rate])[0], spread([expiry])[0], yields)


def near(sample, expected, limit=4.0):
    error = sample.std() / math.sqrt(len(sample))
    assert abs(float(sample.mean()) - expected) < limit * float(error)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 12, 64, 252])
def test_the_bridge_is_a_rotation_whose_first_normal_is_the_end(steps):
    matrix = bridge_matrix(steps)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(steps), atol=1e-12)
    np.testing.assert_allclose(matrix.sum(0), [math.sqrt(steps)] + [0.0] * (steps - 1), atol=1e-12)


@pytest.mark.parametrize("sampler", ["pseudo", "antithetic", "sobol"])
def test_any_range_of_paths_can_be_made_alone(sampler):
    whole = draws(2, 3, 4, 64, seed=5, sampler=sampler)
    half = draws(2, 3, 4, 32, seed=5, sampler=sampler, start=16 if sampler == "antithetic" else 32)
    first = slice(32, 64)
    if sampler == "antithetic":
        first = torch.cat([torch.arange(16, 32), torch.arange(48, 64)])
    torch.testing.assert_close(half.normals, whole.normals[..., first])
    torch.testing.assert_close(half.uniforms, whole.uniforms[..., first])
    assert ((whole.uniforms > 0) & (whole.uniforms < 1)).all()


def test_antithetic_halves_mirror_each_other():
    made = draws(1, 3, 2, 10, sampler="antithetic")
    torch.testing.assert_close(made.normals[..., 5:], -made.normals[..., :5])
    torch.testing.assert_close(made.uniforms[..., 5:], 1 - made.uniforms[..., :5])


def test_streams_of_a_seed_differ():
    seeds = {stream_seed(seed, k) for seed in range(200) for k in range(SCRAMBLES)}
    assert len(seeds) == 200 * SCRAMBLES
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("sampler", ["pseudo", "antithetic", "sobol"])
def test_black_scholes_moments_and_correlation(sampler):
    count = 40_000
    correlation = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    p = parameters(count, (100.0, 50.0), (0.3, 0.2))
    made = black_scholes_paths(p, draws(2, 8, 0, count, 3, sampler), torch.linalg.cholesky(correlation))
    assert made.spots.shape == (2, 9, count)
    logs = (made.final / p.spot).log()
    for asset, volatility in enumerate((0.3, 0.2)):
        near(logs[asset], (0.03 - volatility**2 / 2) * 2.0)
        assert float(logs[asset].var()) == pytest.approx(volatility**2 * 2, rel=0.03)
    assert float(torch.corrcoef(logs)[0, 1]) == pytest.approx(0.6, abs=0.02)
    torch.testing.assert_close((made.mean + made.std * made.normal).exp(), made.final[0])


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("steps", [1, 6])
def test_merton_is_a_martingale_with_its_variance(steps, terminal):
    count = 60_000
    p = parameters(count)
    one = torch.ones(1, 1, dtype=torch.float64)
    jumps = Jumps((0.8,), (-0.1,), (0.2,), one)
    made = merton_paths(p, draws(2, steps, steps, count, 9), one, jumps, terminal)
    assert made.spots.shape == (1, 2 * steps + 1, count)
    assert made.observed.shape == (steps, count)
    near(made.final[0] * math.exp(-0.08), 100.0 * math.exp(-0.02))
    variance = (0.09 + 0.8 * (0.1**2 + 0.2**2)) * 2.0
    assert float(made.final[0].log().var()) == pytest.approx(variance, rel=0.04)
    torch.testing.assert_close((made.mean + made.std * made.normal).exp(), made.final[0])
    near(made.clock, 0.0)


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.5, 7.0, 200.0])
def test_poisson_counts_have_the_mean_and_variance(mean):
    counts = poisson_counts(draws(1, 1, 1, 40_000).uniforms[0], mean)
    assert float(counts.mean()) == pytest.approx(mean, rel=0.1, abs=1e-12)
    assert float(counts.var()) == pytest.approx(mean, rel=0.15, abs=1e-12)


@pytest.mark.parametrize("scheduled", [False, True])
def test_steps_end_at_the_expiry_and_time_passes_towards_fixed_dates(scheduled):
    expiry = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    lengths = step_lengths(expiry, 4, scheduled).expand(4, -1)
    torch.testing.assert_close(lengths.sum(0), expiry)
    torch.testing.assert_close(lengths[1], expiry.detach() / 4)
    for step in range(4):
        (slope,) = torch.autograd.grad(lengths[: step + 1].sum(), expiry, retain_graph=True)
        (same,) = torch.autograd.grad(elapsed(expiry, (step + 1) / 4, scheduled).sum(), expiry)
        torch.testing.assert_close(slope, same)
        torch.testing.assert_close(slope, torch.full_like(slope, 1.0 if scheduled else (step + 1) / 4))


def test_poisson_counts_of_a_batch_are_each_contracts_own():
    numbers = draws(1, 1, 3, 500).uniforms
    means = torch.tensor([0.01, 0.5, 9.0], dtype=torch.float64)
    found = poisson_counts(numbers.unsqueeze(1), means)
    assert found.shape == (3, 3, 500)
    for k, mean in enumerate(means):
        torch.testing.assert_close(found[:, k], poisson_counts(numbers, float(mean)))


EYE = torch.eye(2, dtype=torch.float64)
TOGETHER, APART = (Jumps(intensity, (-0.1, 0.0), (0.2, 0.1), EYE) for intensity in ((0.8,), (0.8, 2.0)))
MODELS = {
    "black_scholes": lambda p, d, **flags: black_scholes_paths(p, d, EYE, **flags),
    "common jumps": lambda p, d, **flags: merton_paths(p, d, EYE, TOGETHER, **flags),
    "own jumps": lambda p, d, **flags: merton_paths(p, d, EYE, APART, **flags),
    "heston": lambda p, d, **flags: heston_paths(p, d, Heston(1.2, 0.05, 0.6, -0.5), torch.eye(4).double(), **flags),
}


@pytest.mark.parametrize("flags", [{"terminal": True}, {"scheduled": True}, {}])
@pytest.mark.parametrize("model", MODELS)
def test_contracts_of_a_batch_have_the_paths_of_each_alone(model, flags):
    count, steps = 50, 3
    drawn = draws(2 if model == "black_scholes" else 4, steps, 3 * steps, count, 6)
    shared = drawn._replace(normals=drawn.normals.unsqueeze(-2), uniforms=drawn.uniforms.unsqueeze(-2))
    ones = [
        parameters(count, (100.0, 50.0), (0.3, 0.2), expiry=2.0),
        parameters(count, (90.0, 55.0), (0.2, 0.4), rate=0.01, expiry=0.5),
    ]
    batch = Parameters(*(torch.stack(rows, -2) for rows in zip(*ones, strict=True)))
    made = MODELS[model](batch, shared, **flags)
    for k, one in enumerate(ones):
        alone = MODELS[model](one, drawn, **flags)
        for name in ("spots", "variances", "mean", "std", "normal", "score", "clock"):
            torch.testing.assert_close(getattr(made, name)[..., k, :], getattr(alone, name), msg=name)


@pytest.mark.parametrize("model", ["common jumps", "own jumps", "heston"])
def test_several_assets_are_martingales(model):
    count, steps = 40_000, 6
    p = parameters(count, (100.0, 50.0), (0.3, 0.2))
    made = MODELS[model](p, draws(4, steps, 2 * steps, count, 7), terminal=True)
    for asset, spot in enumerate((100.0, 50.0)):
        near(made.final[asset] * math.exp(-0.08), spot * math.exp(-0.02))
        near(made.score[asset], 0.0)


@pytest.mark.parametrize("xi", [0.1, 0.6, 1.5])
@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.5])
@pytest.mark.parametrize("steps", [4, 24])
def test_heston_is_a_martingale_and_never_has_negative_variance(xi, rho, steps):
    count = 10_000
    p = parameters(count)
    made = heston_paths(p, draws(2, steps, 0, count, 2), Heston(1.2, 0.05, xi, rho), terminal=True)
    assert (made.variances >= 0).all()
    assert torch.isfinite(made.spots).all()
    near(made.final[0] * math.exp(-0.08), 100.0 * math.exp(-0.02))
    expected = 0.05 + (0.09 - 0.05) * (1 - math.exp(-1.2 * 2.0)) / (1.2 * 2.0)
    assert float(made.variances.sum(0).mean()) == pytest.approx(expected * 2.0, rel=0.05 if steps > 4 else 0.12)
    torch.testing.assert_close((made.mean + made.std * made.normal).exp(), made.final[0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("degrees", [1, 2, 3, 15, 100, 399, 401, 5000, 100_000])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.995])
def test_student_quantiles_are_scipys(degrees, probability):
    stats = pytest.importorskip("scipy.stats")
    assert student_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-7)
