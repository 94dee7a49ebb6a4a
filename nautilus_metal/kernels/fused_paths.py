"""Black-Scholes paths, payoffs and sums of products in one pass over tiles of paths, for a compiler.

A tile of paths has a few variables for each path, the rows of a basis in which every figure of
`path_greeks.path_figures` is linear. Only their sums and sums of products are kept, in float64. Prices are in units
of today's.
"""

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.fused_numbers import (
    SOBOL_BITS,
    Array,
    Keys,
    f32,
    logarithm,
    pseudo_row,
    scramble,
    sobol_row,
)
from nautilus_metal.kernels.fused_payoffs import AMERICAN, EUROPEAN, gentle, prices_at, side, step_on, step_twice
from nautilus_metal.kernels.fused_products import SIDE, Sums, all_products, paying_products
from nautilus_metal.kernels.fused_quick import quick_row

Bridge = tuple[NDArray[np.int64], NDArray[np.float32]]

PSEUDO, SOBOL, QUICK = 0, 1, 2  # where normals come from: `normals.standard_normals`, or `counter_normals`
_BRIDGED = 1 << 16  # elements of a tile's bridge, so that they stay in the second cache
_TILE, _STREAMED = (128, 1024), 1600  # paths; rows of 4 KiB would fall on the same lines of the first cache
WIDTHS = 4, 1, 2  # of a source: neighbours that stand apart, each in its part of a tile


def tile_paths(steps: int, source: int) -> int:
    """Paths of a tile; for a bridge, which has to hold all their steps, a power of two."""
    if source != SOBOL:
        return _STREAMED
    return min(max(1 << ((_BRIDGED // (steps + 1)).bit_length() - 1), _TILE[0]), _TILE[1])


def path_products(
    style: int,
    source: int,
    seed: int,
    directions: Keys,
    nodes: NDArray[np.int64],
    weights: Array,
    first: int,
    count: int,
    mirrored: bool,
    tile: int,
    market: Array,
    every: int,
    boundary: Array,
    products: Sums,
) -> None:
    """Add the products of the basis over some paths.

    Parameters
    ----------
    style : int
        A key of `fused_payoffs.ROWS`.
    source, seed : int
        The stream: `PSEUDO`, `SOBOL` or `QUICK`.
    directions : ndarray
        Shape (steps, 30), of the Sobol sequence; the other sources take the steps from it.
    nodes, weights : ndarray
        Shape (steps, 3), of the Sobol sequence's bridge: see `brownian.bridge_order`.
    first, count : int
        The paths, or pairs; the first a multiple of the tile.
    mirrored : bool
        Whether a path stands for the mean of itself and its mirror image.
    tile : int
        At a time: see `tile_paths`.
    market : ndarray
        Drift and deviation of a step, strike in units of today's price, sign; American: rate times and dividend
        yield times the years of a step.
    every : int
        Steps from one observation to the next.
    boundary : ndarray
        American: of each step, in units of today's price; where no date is, one that is never passed.
    products : ndarray
        Shape (rows, rows), added to in its lower triangle.
    """
    steps, rows, sides = len(directions), len(products), 2 if mirrored else 1
    share, padded = f32(1.0) / f32(sides), -(-len(products) // SIDE) * SIDE
    words, quick = np.empty((4, tile // 4), np.uint64), np.empty((2, tile // 4), np.uint64)
    points, some = np.empty(tile, np.int32), np.empty((4, 8), np.uint64)
    centred, ends, z = np.empty(tile, np.float32), np.empty(tile, np.float32), np.empty((2, tile), np.float32)
    sums = np.zeros((steps + 1 if source == SOBOL else 1, tile), np.float32)
    states, scratch = np.empty((sides, 6, tile), np.float32), np.empty((9, tile), np.float32)
    basis, found = np.empty((padded, tile), np.float32), np.zeros((padded, padded))
    opening, part = np.empty(tile, np.float32), f32(every) / f32(steps)
    keys = np.empty((steps if source == SOBOL else 0, SOBOL_BITS + 1), np.int64)
    for row in range(len(keys)):
        scramble(seed, row, directions[row], some, keys[row])
    reaches = np.empty(len(boundary), np.float32)
    for step in range(1, len(boundary) + 1):
        last = f32(-np.inf) if step == steps else logarithm(boundary[step - 1]) - market[0] * f32(step)
        reaches[step - 1] = market[3] * last if step < steps else last
    twice = source != SOBOL and (style == AMERICAN or (every == 1 and gentle(market)))
    for begin in range(first, first + count, tile):
        for row in range(len(keys)):
            sobol_row(keys[row], begin, points, centred, ends, z[0])
            extend(nodes[row], weights[row], z[0], sums)
        if style != EUROPEAN:
            states[:, :4], states[:, 4], states[:, 5] = f32(0.0), part, f32(0.0)
        step = 1
        while step <= steps:
            pair = 2 if twice and step < steps else 1
            for k in range(pair if source != SOBOL else 0):
                if source == QUICK:
                    quick_row(seed, step - 1 + k, begin // 4, quick, z[k])
                else:
                    pseudo_row(seed, step - 1 + k, begin // 4, words, centred, ends, z[k])
            if style == EUROPEAN:
                break
            if step == 1:
                opening[:] = sums[1] if source == SOBOL else z[0]
            for k in range(sides):
                if pair == 2:
                    step_twice(style, step, part, z, f32(1 - 2 * k), market, reaches, states[k])
                    continue
                if source != SOBOL:
                    move(z[0], states[k, 5])
                w = sums[step] if source == SOBOL else states[k, 5]
                step_on(style, step, every, part, w, f32(1 - 2 * k), market, reaches, states[k])
            step += pair
        left = first + count - begin
        w = sums[steps] if source == SOBOL else z[0] if style == EUROPEAN else states[0, 5]
        if style == EUROPEAN and sides == 1 and left >= tile:
            prices_at(f32(1.0), w, f32(1.0), market, scratch[0])
            paying_products(scratch[0], w, market[2], market[3], found)
            continue
        basis[:] = f32(0.0)
        for k in range(sides):
            side(style, steps, every, opening, w, f32(1 - 2 * k), share, market, states[k], scratch, basis)
        if left < tile:
            blank(basis, left, WIDTHS[source])
        all_products(basis, found)
    for i in range(rows):
        for j in range(i + 1):
            products[i, j] += found[i, j]


def move(z: Array, w: Array) -> None:
    """Add a step's normals to their sums."""
    for i in range(len(z)):
        w[i] += z[i]


def extend(node: NDArray[np.int64], weight: Array, z: Array, sums: Array) -> None:
    """Set the sums of normals at a node from those at its neighbours."""
    left, middle, right = sums[node[0]], sums[node[1]], sums[node[2]]
    a, b, c = weight[0], weight[1], weight[2]
    for i in range(len(z)):
        middle[i] = a * left[i] + b * right[i] + c * z[i]


def blank(basis: Array, left: int, width: int) -> None:
    """Take out the paths of a tile beyond the last one."""
    rows, tile = basis.shape
    for i in range(tile):
        if path_at(i, tile, width) >= left:
            for row in range(rows):
                basis[row, i] = f32(0.0)


def path_at(place, tile, width):  # type: ignore[no-untyped-def]
    """Which path of a tile stands at a place; `width` is one of `WIDTHS`."""
    return width * (place % (tile // width)) + place // (tile // width)
