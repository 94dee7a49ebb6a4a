"""The compiled quick normals are those of `counter_normals`, at any place and in every corner of the words."""

import numpy as np
import pytest
from scipy import stats

from nautilus_metal.kernels import fused_quick
from nautilus_metal.kernels.counter_normals import counter_normals

pytest.importorskip("numba")

BLOCKS = 256
CORNERS = np.array([0, 1, 2, 1 << 29, 3 << 29, 1 << 30, 0x7FFFFFFF, 1 << 31, 0xB504F333, 0xC0000000, 0xC0000001,
                    0xFFFFFFFE, 0xFFFFFFFF], np.uint32)  # fmt: skip


@pytest.fixture(scope="module")
def loops():
    from nautilus_metal.engine.fused_numba import compile_loop

    return {name: compile_loop(getattr(fused_quick, name)) for name in ("quick_row", "box_muller")}


def made(loops, seed, row, block):
    """Normals of a row in the order of the paths."""
    out, words = np.empty(4 * BLOCKS, np.float32), np.empty((2, BLOCKS), np.uint64)
    loops["quick_row"](seed, row, block, words, out)
    return out.reshape(2, 2 * BLOCKS).T.ravel()


@pytest.mark.parametrize(
    ("seed", "row", "block"), [(0, 0, 0), (7, 3, 11), (2**63 - 1, 2**40 + 5, 2**32 - 100), (2**32, 1, 2**61)]
)
def test_the_numbers_are_those_of_the_host(loops, seed, row, block):
    expected = counter_normals(1, 4 * BLOCKS, seed, 4 * block, row)[0].numpy()
    np.testing.assert_allclose(made(loops, seed, row, block), expected, rtol=0, atol=6e-7)


def test_corners_of_the_words_are_exact_to_their_radius(loops):
    even, odd = (grid.ravel().copy() for grid in np.meshgrid(CORNERS, CORNERS))
    near, far = np.empty(len(even), np.float32), np.empty(len(even), np.float32)
    loops["box_muller"](even, odd, near, far)
    radius = np.sqrt(-2.0 * np.log1p((even - (2.0**32 - 0.5)) * 2.0**-32))
    angle = odd.view(np.int32) * (np.pi * 2.0**-31)
    assert np.abs(near / radius - np.cos(angle)).max() < 2e-7
    assert np.abs(far / radius - np.sin(angle)).max() < 2e-7


def test_their_law_is_normal(loops):
    """By Kolmogorov and Smirnov, and four moments within five standard errors."""
    rows = np.stack([np.concatenate([made(loops, 3, row, k * BLOCKS) for k in range(20)]) for row in range(10)])
    assert stats.kstest(rows.ravel(), "norm").pvalue > 1e-3
    moments = [(rows.astype(float) ** power).mean() for power in (1, 2, 3, 4)]
    errors = np.sqrt(np.array([1.0, 2.0, 15.0, 96.0]) / rows.size)
    assert (np.abs(np.array(moments) - [0.0, 1.0, 0.0, 3.0]) < 5 * errors).all()
    assert np.abs(np.corrcoef(rows) - np.eye(10)).max() < 5 / np.sqrt(rows.shape[1])
