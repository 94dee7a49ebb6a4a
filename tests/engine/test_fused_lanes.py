"""What numba puts in the place of `kernels.lanes` computes what numpy does there, for lanes and for numbers."""

import numpy as np
import pytest

from nautilus_metal.engine.pool_arrays import line_array
from nautilus_metal.kernels.lanes import (
    LANES,
    columns,
    larger,
    load,
    nonzero_or,
    positive_or,
    put,
    put_columns,
    root,
    store,
    stream,
    streamed,
    times_plus,
    turned,
)  # fmt: skip

pytest.importorskip("numba")

from nautilus_metal.engine.fused_lanes import INSTRUCTIONS
from nautilus_metal.engine.fused_numba import compile_loop

STRANGE = [0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, np.nan, 1e-310]


def each_way(x, y, out):
    """Every function of values, of lanes in the first row and of numbers in the second; y is of numbers."""
    a, b = load(x, 0), load(x, LANES)
    store(out[0], 0, larger(a, y[0]))
    store(out[0], 8, positive_or(a, y[1]))
    store(out[0], 16, nonzero_or(a, y[1]))
    store(out[0], 24, root(larger(a, 0.0)))
    store(out[0], 32, times_plus(y[2], a, b))
    store(out[0], 40, (y[2] * a - b) / (b + 3))
    store(out[0], 48, y[1] / b - a * y[2] + (2 - a))
    for i in range(LANES):
        p, q = x[i], x[LANES + i]
        out[1][i] = larger(p, y[0])
        out[1][8 + i] = positive_or(p, y[1])
        out[1][16 + i] = nonzero_or(p, y[1])
        out[1][24 + i] = root(larger(p, 0.0))
        out[1][32 + i] = times_plus(y[2], p, q)
        out[1][40 + i] = (y[2] * p - q) / (q + 3)
        out[1][48 + i] = y[1] / q - p * y[2] + (2 - p)


@pytest.mark.parametrize("bound", [0.0, -1.0, 2.0])
def test_values(bound):
    x = np.array([*STRANGE, 1.0, 2.0, -0.5, 4.0, 1.0, 2.0, 3.0, 5.0])
    y = np.array([bound, np.nan, 0.25])
    expected, got = np.zeros((2, 56)), np.zeros((2, 56))
    with np.errstate(all="ignore"):
        each_way(x, y, expected)
    compile_loop(each_way)(x, y, got)
    np.testing.assert_allclose(got, expected, rtol=1e-15)  # a product and a sum may be one step
    np.testing.assert_array_equal(got[0], got[1])
    np.testing.assert_array_equal(expected[0], expected[1])


def move_around(x, apart, out, direct):
    a, b, c, d, e, f, g, h = columns(x, 3, apart)
    put_columns(out, 0, LANES, (a, b, c, d, e, f, g, h), direct)
    a, b, c, d, e, f, g, h = turned(a, b, c, d, e, f, g, h)
    stream(out, 64, a)
    put(out, 72, h, direct)
    streamed()


@pytest.mark.parametrize("direct", [False, True])
def test_moves(direct):
    x = np.random.default_rng(0).normal(size=200)
    rows = np.stack([x[3 + 20 * i : 11 + 20 * i] for i in range(LANES)])
    expected = np.concatenate([rows.reshape(-1), rows[0], rows[-1]])
    for function in (move_around, compile_loop(move_around)):
        out = line_array((80,))
        function(x, 20, out, direct)
        np.testing.assert_array_equal(out, expected)


def test_every_function_has_an_instruction():
    named = {larger, load, nonzero_or, positive_or, root, store, stream, streamed, times_plus, turned}
    assert set(INSTRUCTIONS) == named
