"""The blocked recurrence equals the plain loop in float64, for any length, decay and device."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.recurrence import BLOCK, linear_recurrence


def loop(x: np.ndarray, decay: np.ndarray | float, initial: np.ndarray | float = 0.0) -> np.ndarray:
    out = np.empty_like(x)
    last = np.broadcast_to(np.asarray(initial, float), x.shape[:-1]).copy()
    for t in range(x.shape[-1]):
        last = decay * last + x[..., t]
        out[..., t] = last
    return out


@pytest.mark.parametrize("length", [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 1000, BLOCK * BLOCK + 3])
@pytest.mark.parametrize("decay", [0.0, 1e-3, 0.5, 13 / 14, 0.9999, 1.0, -0.7])
def test_equals_the_loop(length, decay):
    x = np.random.default_rng(length).normal(size=(3, length))
    for initial in (None, 5.0, np.array([1.0, -2.0, 3.0])):
        given_initial = torch.from_numpy(initial) if isinstance(initial, np.ndarray) else initial
        got = linear_recurrence(torch.from_numpy(x), decay, given_initial)
        expected = loop(x, decay, 0.0 if initial is None else initial)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 5), (4, 5), (5,), (1,)])
def test_a_decay_per_series(shape):
    rng = np.random.default_rng(0)
    series = (4,) if shape == (4,) else (4, 5)
    x = rng.normal(size=(*series, 300))
    decay = rng.uniform(0.0, 1.0, size=shape)
    got = linear_recurrence(torch.from_numpy(x), torch.from_numpy(decay))
    np.testing.assert_allclose(got.numpy(), loop(x, decay), rtol=1e-11, atol=1e-11)


def test_a_long_fast_decay_neither_underflows_nor_overflows():
    x = torch.ones(20_000, dtype=torch.float32)
    got = linear_recurrence(x, 1e-6, initial=1e30)
    assert torch.isfinite(got).all()
    assert got[-1].item() == pytest.approx(1.000001, rel=1e-6)


def test_float32_stays_near_float64():
    x = np.random.default_rng(1).normal(size=(8, 10_000))
    exact = loop(x, 0.97)
    got = linear_recurrence(torch.from_numpy(x).float(), 0.97)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), exact, atol=2e-5)


def test_non_contiguous_input_and_gradient():
    x = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).T.requires_grad_()
    linear_recurrence(x, 0.5)[..., -1].sum().backward()
    np.testing.assert_allclose(x.grad[0].numpy()[-3:], [0.25, 0.5, 1.0])


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 400), decay=st.floats(0.0, 1.0), cut=st.integers(0, 400), seed=st.integers(0, 1000))
def test_continuing_from_the_last_value_is_the_same_series(length, decay, cut, seed):
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, length)))
    cut = min(cut, length - 1)
    whole = linear_recurrence(x, decay)
    first = linear_recurrence(x[:, :cut], decay)
    rest = linear_recurrence(x[:, cut:], decay, first[:, -1] if cut else None)
    np.testing.assert_allclose(torch.cat([first, rest], dim=-1).numpy(), whole.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("x", "decay", "initial", "name"),
    [
        (torch.tensor(1.0), 0.5, None, "`x`"),
        (torch.arange(5), 0.5, None, "`x`"),
        (torch.zeros(2, 5), torch.zeros(3), None, "`decay`"),
        (torch.zeros(5), torch.zeros(1), None, "`decay`"),
        (torch.zeros(2, 5), 0.5, torch.zeros(5), "`initial`"),
    ],
)
def test_bad_input_is_named(x, decay, initial, name):
    with pytest.raises(InputError, match=name):
        linear_recurrence(x, decay, initial)
