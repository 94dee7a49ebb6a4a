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
    exponential,
    f32,
    logarithm,
    lower_tail,
    pseudo_row,
    reordered,
    scramble,
    sobol_row,
)

Sums = NDArray[np.float64]
Bridge = tuple[NDArray[np.int64], NDArray[np.float32]]

EUROPEAN, ASIAN, AMERICAN = 0, 1, 2
_TILE_ELEMENTS, _TILE = 1 << 16, (128, 1024)  # of a tile's sums, so that they stay in the second cache; paths

# Rows of the bases. S is the last price or the one where the path stops, A the mean of those seen and G the geometric
# one, each with its indicator of paying (I, J); z is the first normal, w a sum of normals, t a number of steps. p is
# the discounted gain and q its indicator, c the European option where the path stops, h its delta times S, v its vega
# and b its strike's part of rho, all discounted.
ROWS = {
    EUROPEAN: ("one", "IS", "ISz", "I", "S", "Sz"),
    ASIAN: ("one", "IA", "IAz", "IAw", "IAt", "I", "JG", "JGz", "JGw", "J", "S", "Sz", "Sw"),
    AMERICAN: ("one", "p", "pz", "pw", "pt", "q", "qt", "c", "ct", "h", "hz", "hw", "ht", "v", "b"),
}


def tile_paths(steps: int) -> int:
    """Paths of a tile, a power of two."""
    return min(max(1 << ((_TILE_ELEMENTS // (steps + 1)).bit_length() - 1), _TILE[0]), _TILE[1])


def path_products(
    style: int,
    sobol: bool,
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
        A key of `ROWS`.
    sobol, seed
        The stream.
    directions : ndarray
        Shape (steps, 30), of the Sobol sequence; pseudo-random numbers take the steps from it.
    nodes, weights : ndarray
        Shape (steps, 3): see `brownian.bridge_order`.
    first, count : int
        The paths, or pairs; the first a multiple of the tile.
    mirrored : bool
        Whether a path stands for the mean of itself and its mirror image.
    tile : int
        See `tile_paths`.
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
    steps = len(directions)
    words, some = np.empty((4, tile // 4), np.uint64), np.empty((4, 8), np.uint64)
    points = np.empty(tile, np.int32)
    centred, ends, z = np.empty(tile, np.float32), np.empty(tile, np.float32), np.empty(tile, np.float32)
    sums, basis = np.zeros((steps + 1, tile), np.float32), np.empty((len(products), tile), np.float32)
    scratch = np.empty((9, tile), np.float32)
    keys = np.empty((steps, SOBOL_BITS + 1), np.int64)
    if sobol:
        for row in range(steps):
            scramble(seed, row, directions[row], some, keys[row])
    for begin in range(first, first + count, tile):
        for row in range(steps):
            if sobol:
                sobol_row(keys[row], begin, points, centred, ends, z)
            else:
                pseudo_row(seed, row, begin // 4, words, centred, ends, z)
            extend(row, nodes[row], weights[row], z, sums)
        basis[:] = f32(0.0)
        share = f32(0.5) if mirrored else f32(1.0)
        side(style, sums, f32(1.0), share, market, every, boundary, scratch, basis)
        if mirrored:
            side(style, sums, f32(-1.0), share, market, every, boundary, scratch, basis)
        if first + count - begin < tile:
            blank(basis, first + count - begin, sobol)
        for i in range(len(products)):
            for j in range(i + 1):
                products[i, j] += dot(basis[i], basis[j])


def extend(row: int, node: NDArray[np.int64], weight: Array, z: Array, sums: Array) -> None:
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


@reordered
def dot(x: Array, y: Array) -> float:
    """Sum of products in float64: what the controls leave may be a millionth of them."""
    total = 0.0
    for i in range(len(x)):
        total += float(x[i]) * float(y[i])
    return total


def side(
    style: int, sums: Array, mirror: np.float32, share: np.float32, market: Array, every: int, boundary: Array,
    scratch: Array, basis: Array,
) -> None:  # fmt: skip
    """Add a share of the rows of paths, or of their mirror images, to the basis."""
    if style == EUROPEAN:
        european(sums, mirror, share, market, scratch, basis)
    elif style == ASIAN:
        asian(sums, mirror, share, market, every, scratch, basis)
    else:
        american(sums, mirror, share, market, boundary, scratch, basis)


def add(out: Array, x: Array, scale: np.float32) -> None:
    """Add to a row. Loops of few arrays are those that a compiler makes vectors of."""
    for i in range(len(out)):
        out[i] += scale * x[i]


def add_product(out: Array, x: Array, y: Array, scale: np.float32) -> None:
    """Add a product to a row."""
    for i in range(len(out)):
        out[i] += scale * x[i] * y[i]


def paying(price: Array, strike: np.float32, sign: np.float32, share: np.float32, pays: Array, inside: Array) -> None:
    """Shares of the paths that pay, and of their prices."""
    for i in range(len(price)):
        pays[i] = share if sign * (price[i] - strike) > f32(0.0) else f32(0.0)
        inside[i] = pays[i] * price[i]


def european(
    sums: Array, mirror: np.float32, share: np.float32, market: Array, scratch: Array, basis: Array
) -> None:
    """Rows of `ROWS[EUROPEAN]`, of paths of one step."""
    drift, slope = market[0], mirror * market[1]
    price, pays, inside, w = scratch[0], scratch[1], scratch[2], sums[1]
    for i in range(len(w)):
        price[i] = exponential(drift + slope * w[i])
    paying(price, market[2], market[3], share, pays, inside)
    basis[0] += share
    add(basis[1], inside, f32(1.0))
    add_product(basis[2], inside, w, mirror)
    add(basis[3], pays, f32(1.0))
    add(basis[4], price, share)
    add_product(basis[5], price, w, share * mirror)


def asian(
    sums: Array, mirror: np.float32, share: np.float32, market: Array, every: int, scratch: Array, basis: Array
) -> None:
    """Rows of `ROWS[ASIAN]`."""
    drift, deviation = market[0], market[1]
    steps, part = len(sums) - 1, f32(every) / f32(len(sums) - 1)
    price, mean, by_sum, by_time, total = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    pays, inside = scratch[5], scratch[6]
    scratch[:5] = f32(0.0)
    for step in range(every, steps + 1, every):
        w, time = sums[step], f32(step)
        level, slope = drift * time, mirror * deviation
        for i in range(len(w)):
            price[i] = exponential(level + slope * w[i])
        for i in range(len(w)):
            mean[i] += part * price[i]
            by_sum[i] += price[i] * w[i]
        for i in range(len(w)):
            by_time[i] += time * price[i]
            total[i] += part * w[i]
    first, last = sums[1], sums[steps]
    paying(mean, market[2], market[3], share, pays, inside)
    basis[0] += share
    add(basis[1], inside, f32(1.0))
    add_product(basis[2], inside, first, mirror)
    add_product(basis[3], pays, by_sum, part * mirror)
    add_product(basis[4], pays, by_time, part)
    add(basis[5], pays, f32(1.0))
    add(basis[10], price, share)
    add_product(basis[11], price, first, share * mirror)
    add_product(basis[12], price, last, share * mirror)
    centre, slope = drift * f32(steps + every) * f32(0.5), mirror * deviation
    for i in range(len(mean)):
        mean[i] = exponential(centre + slope * total[i])
    paying(mean, market[2], market[3], share, pays, inside)
    add(basis[6], inside, f32(1.0))
    add_product(basis[7], inside, first, mirror)
    add_product(basis[8], inside, total, mirror)
    add(basis[9], pays, f32(1.0))


def american(
    sums: Array, mirror: np.float32, share: np.float32, market: Array, boundary: Array, scratch: Array, basis: Array
) -> None:
    """Rows of `ROWS[AMERICAN]`; the last step stops every path."""
    drift, deviation, strike, sign, rate = market[0], market[1], market[2], market[3], market[4]
    steps, first = len(sums) - 1, sums[1]
    time, at, price, paid, pays, inside = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
    time[:] = f32(steps)
    at[:] = sums[steps]
    for step in range(steps - 1, 0, -1):
        reach = sign * (logarithm(boundary[step - 1]) - drift * f32(step))
        w, slope, now = sums[step], sign * mirror * deviation, f32(step)
        for i in range(len(w)):
            passed = slope * w[i] >= reach
            time[i] = now if passed else time[i]
            at[i] = w[i] if passed else at[i]
    for i in range(len(at)):
        price[i] = exponential(drift * time[i] + mirror * deviation * at[i])
        paid[i] = share * exponential(-rate * time[i])
    paying(price, strike, sign, sign, pays, inside)
    for i in range(len(at)):
        pays[i] *= paid[i]
        inside[i] *= paid[i]
    basis[0] += share
    add(basis[1], inside, f32(1.0))
    add_product(basis[2], inside, first, mirror)
    add_product(basis[3], inside, at, mirror)
    add_product(basis[4], inside, time, f32(1.0))
    add(basis[5], pays, f32(1.0))
    add_product(basis[6], pays, time, f32(1.0))
    stopped_european(time, price, paid, market, scratch, steps)
    held, owed, vega = scratch[4], scratch[5], scratch[7]
    add(basis[9], held, f32(1.0))
    add_product(basis[10], held, first, mirror)
    add_product(basis[11], held, at, mirror)
    add_product(basis[12], held, time, f32(1.0))
    add(basis[13], vega, f32(1.0))
    for i in range(len(at)):
        held[i] -= owed[i]
        owed[i] *= f32(steps) - time[i]
    add(basis[7], held, f32(1.0))
    add_product(basis[8], held, time, f32(1.0))
    add(basis[14], owed, f32(1.0))


def stopped_european(time: Array, price: Array, paid: Array, market: Array, scratch: Array, steps: int) -> None:
    """Black and Scholes's two parts and the vega of the European option where the paths stop, discounted."""
    deviation, strike, sign, rate, dividend = market[1], market[2], market[3], market[4], market[5]
    held, owed, further, vega, spread = scratch[4], scratch[5], scratch[6], scratch[7], scratch[8]
    level = logarithm(strike)
    for i in range(len(time)):
        left = f32(steps) - time[i]
        spread[i] = np.sqrt(max(deviation * deviation * left, f32(1e-10)))
        further[i] = (logarithm(price[i]) - level + (rate - dividend) * left) / spread[i] + f32(0.5) * spread[i]
    for i in range(len(time)):
        held[i] = paid[i] * sign * price[i] * exponential(dividend * (time[i] - f32(steps)))
    for i in range(len(time)):
        vega[i] = f32(0.3989422804014327) * sign * held[i] * exponential(f32(-0.5) * further[i] * further[i])
        held[i] *= lower_tail(sign * further[i])
    for i in range(len(time)):
        vega[i] *= np.sqrt(f32(steps) - time[i])
        owed[i] = paid[i] * sign * strike * exponential(rate * (time[i] - f32(steps)))
    for i in range(len(time)):
        owed[i] *= lower_tail(sign * (further[i] - spread[i]))
