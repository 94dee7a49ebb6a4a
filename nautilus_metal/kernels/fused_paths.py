"""Black-Scholes paths, payoffs and sums of products in one pass over tiles of paths, for a compiler.

A tile of paths has a few variables for each path, the rows of a basis in which every figure of
`path_greeks.path_figures` is linear. Only their sums and sums of products are kept, in float64. Prices are in units
of today's.
"""

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.fused_numbers import SOBOL_BITS, Array, Keys, f32, pseudo_row, scramble, sobol_row
from nautilus_metal.kernels.fused_payoffs import EUROPEAN, prices_at, side, step_on
from nautilus_metal.kernels.fused_products import SIDE, Sums, all_products, paying_products
from nautilus_metal.kernels.fused_quick import quick_row

Bridge = tuple[NDArray[np.int64], NDArray[np.float32]]

PSEUDO, SOBOL, QUICK = 0, 1, 2  # where normals come from: `normals.standard_normals`, or `counter_normals`
_BRIDGED = 1 << 16  # elements of a tile's bridge, so that they stay in the second cache
_TILE = 128, 1024  # paths


def tile_paths(steps: int, source: int) -> int:
    """Paths of a tile, a power of two: few where a bridge has to hold all their steps."""
    if source != SOBOL:
        return _TILE[1]
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
    words, quick = np.empty((4, tile // 4), np.uint64), np.empty((4, tile // 4), np.uint32)
    points, some = np.empty(tile, np.int32), np.empty((4, 8), np.uint64)
    centred, ends, z = np.empty(tile, np.float32), np.empty(tile, np.float32), np.empty(tile, np.float32)
    sums = np.zeros((steps + 1 if source == SOBOL else 1, tile), np.float32)
    states, scratch = np.empty((sides, 4, tile), np.float32), np.empty((9, tile), np.float32)
    basis, found = np.empty((padded, tile), np.float32), np.zeros((padded, padded))
    opening, w = np.empty(tile, np.float32), sums[0]
    keys = np.empty((steps if source == SOBOL else 0, SOBOL_BITS + 1), np.int64)
    for row in range(len(keys)):
        scramble(seed, row, directions[row], some, keys[row])
    for begin in range(first, first + count, tile):
        sums[0] = f32(0.0)
        for row in range(len(keys)):
            sobol_row(keys[row], begin, points, centred, ends, z)
            extend(nodes[row], weights[row], z, sums)
        for step in range(1, steps + 1):
            if source == SOBOL:
                w = sums[step]
            elif source == QUICK:
                quick_row(seed, step - 1, begin // 4, quick, z)
                move(z, w)
            else:
                pseudo_row(seed, step - 1, begin // 4, words, centred, ends, z)
                move(z, w)
            if style == EUROPEAN:
                break
            if step == 1:
                states[:] = f32(0.0)
                opening[:] = w
            for k in range(sides):
                step_on(style, step, steps, every, w, f32(1 - 2 * k), market, boundary, states[k])
        left = first + count - begin
        if style == EUROPEAN and sides == 1 and left >= tile:
            prices_at(f32(1.0), w, f32(1.0), market, scratch[0])
            paying_products(scratch[0], w, market[2], market[3], found)
            continue
        basis[:] = f32(0.0)
        for k in range(sides):
            side(style, steps, every, opening, w, f32(1 - 2 * k), share, market, states[k], scratch, basis)
        if left < tile:
            blank(basis, left, source == SOBOL)
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


def blank(basis: Array, left: int, sobol: bool) -> None:
    """Take out the paths of a tile beyond the last one."""
    rows, tile = basis.shape
    blocks = tile // 4
    for i in range(tile):
        place = i if sobol else 4 * (i % blocks) + i // blocks
        if place >= left:
            for row in range(rows):
                basis[row, i] = f32(0.0)
