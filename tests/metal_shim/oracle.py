"""The shaders' arithmetic once more, in numpy's float32: each line rounds as the shader's line does."""

import numpy as np

F = np.float32


def exponential(x: np.ndarray) -> np.ndarray:
    x = x.astype(F)
    inside = np.clip(np.nan_to_num(x), -87, 88)
    whole = np.floor(F(1.44269504088896341) * inside + F(0.5))
    r = inside - whole * F(0.693359375)
    r = r - whole * F(-2.12194440e-4)
    p = np.full_like(r, 1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + F(c)
    y = (p * (r * r) + r + F(1)) * np.ldexp(F(1), whole.astype(np.int32))
    return np.where(np.isnan(x), x, np.where(x < -87, F(0), np.where(x > 88, F(np.inf), y)))


def logarithm(x: np.ndarray) -> np.ndarray:
    m, exponent = np.frexp(x.astype(F))
    low = m < F(0.707106781186547524)
    e = np.where(low, exponent - 1, exponent).astype(F)
    m = np.where(low, m + m - F(1), m - F(1))
    z = m * m
    p = np.full_like(m, 7.0376836292e-2)
    for c in (-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
              2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1):  # fmt: skip
        p = p * m + F(c)
    y = p * m * z
    y = y + e * F(-2.12194440e-4)
    y = y - F(0.5) * z
    return m + y + e * F(0.693359375)


def complementary_error(x: np.ndarray) -> np.ndarray:
    z = np.abs(x.astype(F))
    t = F(1) / (F(1) + F(0.5) * z)
    p = np.full_like(z, 0.17087277)
    for c in (-0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
              -1.26551223):  # fmt: skip
        p = p * t + F(c)
    tail = t * exponential(p - z * z)
    return np.where(x < 0, F(2) - tail, tail)


def _horner(r: np.ndarray, *coefficients: float) -> np.ndarray:
    found = np.full_like(r, coefficients[0])
    for c in coefficients[1:]:
        found = found * r + F(c)
    return found


def normals(words: np.ndarray) -> np.ndarray:
    """Of numpy's own words of Philox."""
    cell = (words >> np.uint64(12)).astype(np.int64)
    q = (2 * cell + 1 - 2**52).astype(F) * F(2.0**-53)
    p = (2 * np.minimum(cell, 2**52 - 1 - cell) + 1).astype(F) * F(2.0**-53)
    r = F(0.180625) - q * q
    middle = q * _horner(r, 5.9109374720e1, 1.5929113202e2, 5.0434271938e1, 3.3871327179)
    middle = middle / _horner(r, 6.7187563600e1, 7.8757757664e1, 1.7895169469e1, 1.0)
    root = np.sqrt(-logarithm(p))
    near, far = root - F(1.6), root - F(5)
    z = _horner(near, 1.7023821103e-1, 1.3067284816, 2.7568153900, 1.4234372777)
    z = z / _horner(near, 1.2021132975e-1, 7.3700164250e-1, 1.0)
    tail = _horner(far, 1.7337203997e-2, 4.2868294337e-1, 3.0812263860, 6.6579051150)
    tail = tail / _horner(far, 1.2258202635e-2, 2.4197894225e-1, 1.0)
    outer = np.where(root <= 5, z, tail)
    return np.where(np.abs(q) <= F(0.425), middle, np.where(q < 0, -outer, outer))


def paths(z: np.ndarray, spot: float, drift: float, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Prices and sums from float32 normals, shape (steps, paths)."""
    log, total, spots, sums = np.zeros_like(z[0]), np.zeros_like(z[0]), [np.full_like(z[0], spot)], []
    for row in z:
        total = total + row
        log = log + (F(drift) + F(deviation) * row)
        spots.append(F(spot) * exponential(log))
        sums.append(total)
    return np.stack(spots), np.stack(sums)


def rsi(x: np.ndarray, period: int) -> np.ndarray:
    """One bar at a time for all series, shape (series, bars)."""
    weight, keep = F(1.0 / period), F(1.0 - 1.0 / period)
    gain, loss, out = np.zeros_like(x[:, 0]), np.zeros_like(x[:, 0]), np.full_like(x, np.nan)
    for t in range(1, x.shape[1]):
        move = x[:, t] - x[:, t - 1]
        if t > period:
            gain, loss = gain * keep, loss * keep
        gain = gain + np.maximum(move, F(0)) * weight
        loss = loss + np.maximum(-move, F(0)) * weight
        total = gain + loss
        if t >= period:
            out[:, t] = np.where(total > 0, F(100) * gain / np.where(total > 0, total, F(1)), F(0))
    return out


def macd(x: np.ndarray, fast: int, slow: int, signal: int) -> np.ndarray:
    """Line, signal and histogram, shape (3, series, bars)."""
    decays = [F(1.0 - 2.0 / (n + 1.0)) for n in (fast, slow, signal)]
    gaps = [np.zeros_like(x[:, 0]), np.zeros_like(x[:, 0])]
    seed = smooth = np.zeros_like(x[:, 0])
    out, first = np.full((3, *x.shape), np.nan, F), slow + signal - 2
    for t in range(x.shape[1]):
        move = x[:, t] - x[:, t - 1] if t else np.zeros_like(seed)
        for k, (period, prices) in enumerate(((fast, t + 1 - (slow - fast)), (slow, t + 1))):
            share = F(prices - 1) / F(max(prices, 1)) if prices <= period else decays[k]
            gaps[k] = share * (gaps[k] - move) if prices > 1 else np.zeros_like(seed)
        line = gaps[0] - gaps[1]
        if slow - 1 <= t <= first:
            seed = seed + line
            smooth = seed / F(signal)
        elif t > first:
            smooth = decays[2] * smooth + F(2.0 / (signal + 1.0)) * line
        if t >= first:
            out[:, :, t] = line, smooth, line - smooth
    return out


def book_losses(market, terms, held) -> tuple[np.ndarray, np.ndarray]:
    """`kernels.metal.calls.book_losses` of tensors, one position after the other."""
    returns, changes = market.returns.numpy(), market.changes.numpy()
    factors = None if market.volatility is None else market.volatility.numpy()
    profit, expansion = np.zeros_like(returns[0]), np.full_like(returns[0], held.decay)
    for change, exposure, linear, square in zip(
        changes, held.exposures.numpy(), held.linear.numpy(), held.square.numpy(), strict=True
    ):
        profit = profit + exposure * change
        expansion = expansion + (linear + square * change) * change
    for factor, vega in zip([] if factors is None else factors, held.volatility.numpy(), strict=factors is not None):
        expansion = expansion + vega * (factor - F(1))
    for x, strike, width, sign, base, row, place, notional in zip(
        *(column.numpy() for column in terms), held.notionals.numpy(), strict=True
    ):
        total = width * (np.ones_like(profit) if factors is None else factors[place])
        total = np.where(total < F(1e-7), F(1e-7), total)
        middle, half = (returns[row] + x) / total, F(0.5) * total
        scale = F(-0.70710678118654752) * sign
        spot_part = complementary_error((middle + half) * scale)
        strike_part = complementary_error((middle - half) * scale) * strike
        value = (spot_part + spot_part * changes[row] - strike_part) * (F(0.5) * sign) - base
        profit = profit + notional * value
    return -profit, -expansion
