"""What is kept of simulated paths under Black-Scholes, step by step, and the rows in which all figures are linear.

A path, or its mirror image, has a state: running sums for an Asian option, step and sum of normals where it stops for
an American one. Prices are in units of today's.
"""

import numpy as np

from nautilus_metal.kernels.fused_numbers import Array, exponential, f32, logarithm, lower_tail

EUROPEAN, ASIAN, AMERICAN = 0, 1, 2

# Rows of the bases. S is the last price or the one where the path stops, A the mean of those seen and G the geometric
# one, each with its indicator of paying (I, J); z is the first normal, w a sum of normals, t a number of steps. p is
# the discounted gain and q its indicator, c the European option where the path stops, h its delta times S, v its vega
# and b its strike's part of rho, all discounted.
ROWS = {
    EUROPEAN: ("one", "IS", "ISz", "I", "S", "Sz"),
    ASIAN: ("one", "IA", "IAz", "IAw", "IAt", "I", "JG", "JGz", "JGw", "J", "S", "Sz", "Sw"),
    AMERICAN: ("one", "p", "pz", "pw", "pt", "q", "qt", "c", "ct", "h", "hz", "hw", "ht", "v", "b"),
}


def step_on(
    style: int, step: int, every: int, part: np.float32, w: Array, mirror: np.float32, market: Array, reaches: Array,
    state: Array,
) -> None:  # fmt: skip
    """Take the sums of normals after a step into the state of the paths."""
    if style == ASIAN and step % every == 0:
        observe(f32(step), part, w, mirror, market, state)
    elif style == AMERICAN:
        stop(f32(step), reaches[step - 1], w, market[3] * mirror * market[1], state)


def step_twice(
    style: int, step: int, part: np.float32, z: Array, mirror: np.float32, market: Array, reaches: Array, state: Array
) -> None:  # fmt: skip
    """The same for a step and the next one, from their normals: half of the way to the memory.

    An Asian option's steps must be observed all, and `gentle`.
    """
    if style == ASIAN:
        observe_twice(f32(step), part, z[0], z[1], mirror, market, state)
    elif style == AMERICAN:
        reach, later = reaches[step - 1], reaches[step]
        stop_twice(f32(step), reach, later, z[0], z[1], market[3] * mirror * market[1], state)


def gentle(market: Array) -> bool:
    """Whether steps are so small that `risen` holds, for normals that take 53 bits."""
    return bool(abs(market[0]) + f32(8.5) * abs(market[1]) <= f32(0.25))


def risen(price: np.float32, x: np.float32) -> np.float32:
    """A price times exp(x), |x| up to 1/4, to 2e-8 of x squared's half; a fit of least maximum error."""
    p = f32(8.3548132e-3) * x + f32(4.1787218e-2)
    p = (p * x + f32(1.6666610e-1)) * x + f32(4.9999768e-1)
    return price + price * x * (p * x + f32(1.0))


def observe(time: np.float32, part: np.float32, w: Array, mirror: np.float32, market: Array, state: Array) -> None:
    """Add to the running sums of an Asian option: means of prices, of prices times sums and times steps, of sums."""
    mean, by_sum, by_time, total = state[0], state[1], state[2], state[3]
    level, slope = market[0] * time, mirror * market[1]
    for i in range(len(w)):
        x, a, b, c, d = w[i], mean[i], by_sum[i], by_time[i], total[i]
        price = part * exponential(level + slope * x)
        mean[i] = a + price
        by_sum[i] = b + price * x
        by_time[i] = c + price * time
        total[i] = d + part * x


def observe_twice(
    time: np.float32, part: np.float32, first: Array, second: Array, mirror: np.float32, market: Array, state: Array
) -> None:
    """The same after two steps; the state has their share of the price as well, and the sums of normals."""
    mean, by_sum, by_time, total, price, w = state[0], state[1], state[2], state[3], state[4], state[5]
    drift, slope, later = market[0], mirror * market[1], time + f32(1.0)
    for i in range(len(first)):
        y, z, a, b, c, d = first[i], second[i], mean[i], by_sum[i], by_time[i], total[i]
        x = w[i] + y
        p = risen(price[i], drift + slope * y)
        xx = x + z
        pp = risen(p, drift + slope * z)
        mean[i] = a + p + pp
        by_sum[i] = b + p * x + pp * xx
        by_time[i] = c + p * time + pp * later
        total[i] = d + part * (x + xx)
        price[i], w[i] = pp, xx


def stop(step: np.float32, reach: np.float32, w: Array, slope: np.float32, state: Array) -> None:
    """Stop the paths of an American option that pass the boundary: their steps if they did, and sums of normals."""
    time, at = state[0], state[1]
    for i in range(len(w)):
        here, before, kept = w[i], time[i], at[i]
        now = step if slope * here >= reach else f32(0.0)
        time[i] = now if before == f32(0.0) else before
        at[i] = here if before == f32(0.0) else kept


def stop_twice(
    step: np.float32, reach: np.float32, later: np.float32, first: Array, second: Array, slope: np.float32,
    state: Array,
) -> None:  # fmt: skip
    """The same after two steps; the state has the sums of normals as well."""
    time, at, w = state[0], state[1], state[5]
    for i in range(len(first)):
        before, kept, y, z = time[i], at[i], first[i], second[i]
        x = w[i] + y
        xx = x + z
        now = step if slope * x >= reach else f32(0.0)
        now = before if before != f32(0.0) else now
        kept = kept if before != f32(0.0) else x
        then = step + f32(1.0) if slope * xx >= later else f32(0.0)
        time[i] = now if now != f32(0.0) else then
        at[i] = kept if now != f32(0.0) else xx
        w[i] = xx


def side(
    style: int, steps: int, every: int, first: Array, w: Array, mirror: np.float32, share: np.float32, market: Array,
    state: Array, scratch: Array, basis: Array,
) -> None:  # fmt: skip
    """Add a share of the rows of paths, or of their mirror images, to the basis."""
    basis[0] += share
    if style == EUROPEAN:
        european(w, mirror, share, market, scratch, basis)
    elif style == ASIAN:
        asian(steps, every, first, w, mirror, share, market, state, scratch, basis)
    else:
        american(steps, first, mirror, share, market, state, scratch, basis)


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


def european(w: Array, mirror: np.float32, share: np.float32, market: Array, scratch: Array, basis: Array) -> None:
    """Rows of `ROWS[EUROPEAN]`, of paths of one step."""
    price, pays, inside = scratch[0], scratch[1], scratch[2]
    prices_at(f32(1.0), w, mirror, market, price)
    paying(price, market[2], market[3], share, pays, inside)
    add(basis[1], inside, f32(1.0))
    add_product(basis[2], inside, w, mirror)
    add(basis[3], pays, f32(1.0))
    add(basis[4], price, share)
    add_product(basis[5], price, w, share * mirror)


def prices_at(time: np.float32, w: Array, mirror: np.float32, market: Array, out: Array) -> None:
    """Prices after some steps."""
    level, slope = market[0] * time, mirror * market[1]
    for i in range(len(w)):
        out[i] = exponential(level + slope * w[i])


def asian(
    steps: int, every: int, first: Array, last: Array, mirror: np.float32, share: np.float32, market: Array,
    state: Array, scratch: Array, basis: Array,
) -> None:  # fmt: skip
    """Rows of `ROWS[ASIAN]`."""
    mean, by_sum, by_time, total = state[0], state[1], state[2], state[3]
    price, pays, inside = scratch[0], scratch[1], scratch[2]
    paying(mean, market[2], market[3], share, pays, inside)
    add(basis[1], inside, f32(1.0))
    add_product(basis[2], inside, first, mirror)
    add_product(basis[3], pays, by_sum, mirror)
    add_product(basis[4], pays, by_time, f32(1.0))
    add(basis[5], pays, f32(1.0))
    prices_at(f32(steps), last, mirror, market, price)
    add(basis[10], price, share)
    add_product(basis[11], price, first, share * mirror)
    add_product(basis[12], price, last, share * mirror)
    centre, slope = market[0] * f32(steps + every) * f32(0.5), mirror * market[1]
    for i in range(len(mean)):
        mean[i] = exponential(centre + slope * total[i])
    paying(mean, market[2], market[3], share, pays, inside)
    add(basis[6], inside, f32(1.0))
    add_product(basis[7], inside, first, mirror)
    add_product(basis[8], inside, total, mirror)
    add(basis[9], pays, f32(1.0))


def american(
    steps: int, first: Array, mirror: np.float32, share: np.float32, market: Array, state: Array, scratch: Array,
    basis: Array,
) -> None:  # fmt: skip
    """Rows of `ROWS[AMERICAN]`."""
    drift, deviation, strike, sign, rate = market[0], market[1], market[2], market[3], market[4]
    time, at, price, paid, pays, inside = state[0], state[1], scratch[2], scratch[3], scratch[4], scratch[5]
    for i in range(len(at)):
        price[i] = exponential(drift * time[i] + mirror * deviation * at[i])
        paid[i] = share * exponential(-rate * time[i])
    paying(price, strike, sign, sign, pays, inside)
    for i in range(len(at)):
        pays[i] *= paid[i]
        inside[i] *= paid[i]
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
