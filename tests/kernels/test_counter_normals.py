"""The quick stream: its integers against Random123's known answers, its law, and any range of it alone."""

import numpy as np
import pytest
import torch
from scipy import stats

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.brownian import draws
from nautilus_metal.kernels.counter_normals import counter_normals, counter_uniforms
from nautilus_metal.risk.pricing import price_option


@pytest.mark.parametrize(
    ("seed", "start", "row", "words"),
    [
        (0, 0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            0x299F31D0A4093822,
            4 * 0x85A308D3243F6A88,
            0x0370734413198A2E,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_philox(seed, start, row, words):
    """Salmon et al., Random123, `kat_vectors`: philox4x32, ten rounds."""
    made = counter_uniforms(1, 4, seed, start, row)[0]
    assert (made * 2.0**32 - 0.5).tolist() == list(words)


def test_any_range_can_be_made_alone():
    whole = counter_normals(5, 40, seed=9)
    for first_row, start, rows, count in ((0, 0, 5, 40), (2, 7, 2, 9), (4, 39, 1, 1)):
        part = counter_normals(rows, count, 9, start, first_row)
        assert torch.equal(part, whole[first_row : first_row + rows, start : start + count])
    assert not torch.equal(whole, counter_normals(5, 40, seed=9 + 2**32))


def test_the_numbers_are_normal_and_independent():
    made = counter_normals(4, 50_000, seed=3).numpy()
    assert stats.kstest(made.ravel(), "norm").pvalue > 1e-3
    neighbours = np.corrcoef(np.concatenate([made, made[:, ::-1] ** 2 - 1.0, np.roll(made, 1, 1)]))
    assert np.abs(neighbours - np.eye(12))[np.triu_indices(12, 1)].max() < 5 / np.sqrt(50_000)


def test_draws_of_a_range_are_part_of_the_whole():
    whole, part = draws(2, 3, 1, 20, 4, "fast"), draws(2, 3, 1, 8, 4, "fast", start=6)
    assert torch.equal(part.normals, whole.normals[..., 6:14])
    assert torch.equal(part.uniforms, whole.uniforms[..., 6:14])
    assert draws(1, 1, 0, 5, 4, "fast").uniforms.shape == (0, 5)


@pytest.mark.parametrize(
    ("style", "options"),
    [("european", {}), ("asian", {"observations": 6}), ("lookback", {"lookback_type": "floating"})],
)
def test_prices_agree_with_the_portable_stream(style, options):
    market = {"spot": 100.0, "expiry": 0.5, "rate": 0.03, "volatility": 0.3, "style": style}
    if style != "lookback":
        market["strike"] = 104.0
    with ComputeEngine("cpu") as engine:
        one, other = (
            price_option("call", **market, **options, num_simulations=40_000, sampler=sampler, seed=2, engine=engine)
            for sampler in ("fast", "pseudo")
        )
    assert one.price != other.price
    for name in ("delta", "gamma", "vega", "theta", "rho"):
        error = np.hypot(one.standard_errors[name], other.standard_errors[name])
        assert abs(one.greeks[name] - other.greeks[name]) <= 4.5 * error
    error = np.hypot(one.standard_errors["price"], other.standard_errors["price"])
    assert abs(one.price - other.price) <= 4.5 * error
