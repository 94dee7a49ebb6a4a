"""The compiled loops' numbers are those of `kernels.normals`: integers bit for bit, normals to float32."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from nautilus_metal.engine.fused_numba import compile_loop
from nautilus_metal.kernels import fused_numbers, normals
from nautilus_metal.kernels.fused_numbers import SOBOL_BITS

pytest.importorskip("numba")

TILE = 256


@pytest.fixture(scope="module")
def compiled():
    names = ("philox", "pseudo_row", "sobol_row", "scramble", "all_quantiles")
    return {name: compile_loop(getattr(fused_numbers, name)) for name in names}


def tile(rows=3):
    return [np.empty(TILE, np.float32) for _ in range(rows)]


@pytest.mark.parametrize("way", ["compiled", "plain"])
@pytest.mark.parametrize(("seed", "row", "block"), [(0, 0, 0), (7, 3, 5), (2**63 - 1, 2**40, 2**50)])
def test_philox_is_numpys_bit_for_bit(compiled, way, seed, row, block):
    blocks = TILE // 4 if way == "compiled" else 3
    philox = compiled["philox"] if way == "compiled" else fused_numbers.philox
    words = np.empty((4, blocks), np.uint64)
    with np.errstate(over="ignore"):
        philox(np.uint64(seed), np.uint64(row), np.uint64(block), words)
    stream = np.random.Philox(key=np.array([seed, row], np.uint64)).advance(block)
    np.testing.assert_array_equal(words.T.ravel(), stream.random_raw(4 * blocks))


@pytest.mark.parametrize(("seed", "row", "start"), [(1, 0, 0), (9, 251, 4 * TILE), (2**63 - 1, 7, 2**40)])
def test_pseudo_normals(compiled, seed, row, start):
    words, (centred, ends, out) = np.empty((4, TILE // 4), np.uint64), tile()
    compiled["pseudo_row"](seed, row, start // 4, words, centred, ends, out)
    expected = normals.standard_normals(1, TILE, seed, start=start, first_row=row)[0].numpy()
    np.testing.assert_allclose(out.reshape(4, -1).T.ravel(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("row", [0, 1, 5, 300])
def test_sobol_normals(compiled, row):
    directions, words = normals.direction_numbers(row + 1)[row], np.empty((4, 8), np.uint64)
    keys, (centred, ends, out) = np.empty(SOBOL_BITS + 1, np.int64), tile()
    compiled["scramble"](11, row, directions, words, keys)
    for start in (0, TILE, 37 * TILE):
        compiled["sobol_row"](keys, start, np.empty(TILE, np.int32), centred, ends, out)
        expected = normals.standard_normals(1, TILE, 11, "sobol", start=start, first_row=row)[0].numpy()
        np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-7)


def test_quantiles_down_to_the_last_cell(compiled):
    end = np.concatenate([0.5 ** np.arange(1.0, 54.0), np.linspace(1e-3, 0.5, 50_001)[:-1]])
    for sign in (-1.0, 1.0):
        out = np.empty(len(end), np.float32)
        exact = end.astype(np.float32).astype(float)
        compiled["all_quantiles"]((sign * (1.0 - 2.0 * exact)).astype(np.float32), end.astype(np.float32), out)
        np.testing.assert_allclose(out, -sign * ndtri(exact), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "exact", "x", "rtol", "atol"), [
    ("exponential", np.exp, np.linspace(-86.9, 87.9, 5001), 2e-7, 0.0),
    ("logarithm", np.log, np.geomspace(1e-37, 1e38, 5001), 3e-7, 1e-7),
    ("lower_tail", ndtr, np.linspace(-5.0, 5.0, 5001), 2e-6, 2e-7),
])  # fmt: skip
def test_elementary_functions(name, exact, x, rtol, atol):
    given = x.astype(np.float32)
    with np.errstate(over="ignore"):
        found = np.array([getattr(fused_numbers, name)(each) for each in given])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact(given.astype(float)), rtol=rtol, atol=atol)


def test_a_tail_by_its_density():
    x = np.linspace(0.0, 9.0, 2001).astype(np.float32)
    share = np.array([fused_numbers.tail_share(each) for each in x])
    assert share.dtype == np.float32
    density = fused_numbers.DENSITY_AT_ZERO * np.exp(-0.5 * x.astype(float) ** 2)
    np.testing.assert_allclose(density * share, ndtr(-x.astype(float)), rtol=0, atol=2.5e-7)


def test_the_ends_of_the_exponential():
    assert fused_numbers.exponential(np.float32(-88.0)) == 0.0
    assert fused_numbers.exponential(np.float32(88.5)) == np.inf
