"""Price and Greeks of options on the mean of one geometric Brownian motion: paths, figures and moments in one pass.

A European option is the mean of one step. The figures are those of `kernels.path_greeks`, with the controls of
`risk.pricing_controls`: the last price, and beside an arithmetic mean the option on the geometric one. No path is
stored: a program leaves the means and centred products of its own paths, which a second kernel joins in float64, in
an order that does not depend on how the programs ran.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.triton.language import cdiv, jit, tl
from nautilus_metal.kernels.triton.normals import four_normals, four_positions, side_by_side

FIGURES = 6  # as `path_greeks.names` has them for one asset
_PAYOFFS = 3  # the contract and two controls, at most
_PRODUCTS = 6  # pairs of payoffs
_ROWS = FIGURES * (_PAYOFFS + _PRODUCTS) + 1  # of what a program leaves; the last one counts its paths
_BLOCKS = 128  # of four paths, for a program
_WARPS = 4


class Market(NamedTuple):
    """One asset and one contract: yearly, continuous rates; the expiry in years; sign +1 for a call, -1 for a put."""

    spot: float
    volatility: float
    rate: float
    expiry: float
    dividend_yield: float
    strike: float
    sign: float


@jit()
def _leave(partial, slot, programs, program, x, y, z, kept, count, PAYOFFS: tl.constexpr):
    """Store means and centred products of one figure of up to three payoffs."""
    row = partial + slot * programs + program
    step = programs
    mean_x = tl.sum(x * kept) / count
    gap_x = (x - mean_x) * kept
    tl.store(row, mean_x)
    tl.store(row + 3 * step, tl.sum(gap_x * gap_x))
    if PAYOFFS > 1:
        mean_y = tl.sum(y * kept) / count
        gap_y = (y - mean_y) * kept
        tl.store(row + step, mean_y)
        tl.store(row + 4 * step, tl.sum(gap_x * gap_y))
        tl.store(row + 6 * step, tl.sum(gap_y * gap_y))
    if PAYOFFS > 2:
        mean_z = tl.sum(z * kept) / count
        gap_z = (z - mean_z) * kept
        tl.store(row + 2 * step, mean_z)
        tl.store(row + 5 * step, tl.sum(gap_x * gap_z))
        tl.store(row + 7 * step, tl.sum(gap_y * gap_z))
        tl.store(row + 8 * step, tl.sum(gap_z * gap_z))


@jit()
def _walk(normal, passed, drift2, deviation2, total, sums, prices, by_time, by_total):
    """Take one step: totals of the normals, of those totals, of prices relative to today's, and of their products."""
    total += normal
    price = tl.exp2(drift2 * passed + deviation2 * total)
    return total, sums + total, prices + price, by_time + price * passed, by_total + price * total


@jit("seed", "start", "number", "steps", "programs")
def _mean_options(
    partial, seed, start, number, steps, programs, spot, rate, expiry, strike, sign, discount,
    drift2, deviation2, by_volatility, root_step, step_years, first, first_slope, inverse_deviation,
    GEOMETRIC: tl.constexpr, PAYOFFS: tl.constexpr, PORTABLE: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    """One program walks four paths for each of BLOCKS blocks; logarithms are to base 2 on the way.

    The four are kept apart until the end: joined in the loop, they would change threads at every step.
    """
    program = tl.program_id(0)
    block = tl.cast(start, tl.int64) // 4 + program * BLOCKS + tl.arange(0, BLOCKS)
    place = four_positions(block) - tl.cast(start, tl.int64)
    kept = ((place >= 0) & (place < tl.cast(number, tl.int64))).to(tl.float32)
    zero = block.to(tl.float32) * 0.0
    total_w, sums_w, prices_w, time_w, product_w = zero, zero, zero, zero, zero
    total_x, sums_x, prices_x, time_x, product_x = zero, zero, zero, zero, zero
    total_y, sums_y, prices_y, time_y, product_y = zero, zero, zero, zero, zero
    total_z, sums_z, prices_z, time_z, product_z = zero, zero, zero, zero, zero
    first_w, first_x, first_y, first_z = zero, zero, zero, zero
    passed = 0.0
    for step in range(steps):
        w, x, y, z = four_normals(seed, step, block, PORTABLE)
        passed += 1.0
        first_w = tl.where(step == 0, w, first_w)
        first_x = tl.where(step == 0, x, first_x)
        first_y = tl.where(step == 0, y, first_y)
        first_z = tl.where(step == 0, z, first_z)
        total_w, sums_w, prices_w, time_w, product_w = _walk(
            w, passed, drift2, deviation2, total_w, sums_w, prices_w, time_w, product_w
        )
        total_x, sums_x, prices_x, time_x, product_x = _walk(
            x, passed, drift2, deviation2, total_x, sums_x, prices_x, time_x, product_x
        )
        total_y, sums_y, prices_y, time_y, product_y = _walk(
            y, passed, drift2, deviation2, total_y, sums_y, prices_y, time_y, product_y
        )
        total_z, sums_z, prices_z, time_z, product_z = _walk(
            z, passed, drift2, deviation2, total_z, sums_z, prices_z, time_z, product_z
        )
    total = side_by_side(total_w, total_x, total_y, total_z)
    sums = side_by_side(sums_w, sums_x, sums_y, sums_z)
    prices = side_by_side(prices_w, prices_x, prices_y, prices_z)
    by_time = side_by_side(time_w, time_x, time_y, time_z)
    by_total = side_by_side(product_w, product_x, product_y, product_z)
    at_first = side_by_side(first_w, first_x, first_y, first_z)
    final = tl.exp2(drift2 * passed + deviation2 * total)
    inverse = 1.0 / passed
    geometric_time = 0.5 * (passed + 1.0)
    geometric_total = inverse * sums
    middle = spot * tl.exp2(drift2 * geometric_time + deviation2 * geometric_total)
    if GEOMETRIC:
        mean = middle
        mean_time = middle * geometric_time
        mean_total = middle * geometric_total
    else:
        mean = spot * inverse * prices
        mean_time = spot * inverse * by_time
        mean_total = spot * inverse * by_total
    gain = sign * (mean - strike)
    paid = discount * sign * tl.where(gain > 0.0, 1.0, 0.0)
    gain_2 = sign * (middle - strike)
    paid_2 = discount * sign * tl.where(gain_2 > 0.0, 1.0, 0.0)
    last = discount * spot * final

    value = discount * tl.maximum(gain, 0.0)
    weight = paid * mean
    value_2 = discount * tl.maximum(gain_2, 0.0)
    weight_2 = paid_2 * middle
    count = tl.sum(kept)
    tl.store(partial + 54 * programs + program, count)
    count = tl.maximum(count, 1.0)
    _leave(partial, 0, programs, program, value, last, value_2, kept, count, PAYOFFS)
    inverse_spot = 1.0 / spot
    _leave(partial, 9, programs, program, weight * inverse_spot, last * inverse_spot, weight_2 * inverse_spot,
           kept, count, PAYOFFS)  # fmt: skip
    curvature = (at_first * inverse_deviation - 1.0) * inverse_spot * inverse_spot
    _leave(partial, 18, programs, program, weight * curvature, last * curvature, weight_2 * curvature,
           kept, count, PAYOFFS)  # fmt: skip
    _leave(
        partial, 27, programs, program,
        paid * (by_volatility * mean_time + root_step * mean_total),
        last * (by_volatility * passed + root_step * total),
        weight_2 * (by_volatility * geometric_time + root_step * geometric_total),
        kept, count, PAYOFFS,
    )  # fmt: skip
    passing = first + first_slope * at_first
    _leave(
        partial, 36, programs, program, rate * value - weight * passing, rate * last - last * passing,
        rate * value_2 - weight_2 * passing, kept, count, PAYOFFS,
    )  # fmt: skip
    _leave(
        partial, 45, programs, program, step_years * paid * mean_time - expiry * value,
        step_years * passed * last - expiry * last, step_years * weight_2 * geometric_time - expiry * value_2,
        kept, count, PAYOFFS,
    )  # fmt: skip


@jit("programs")
def _join(partial, joined, programs, WIDTH: tl.constexpr):
    """One program a figure: Chan, Golub and LeVeque's (1979) merging of all programs' moments at once."""
    slot = tl.program_id(0) * 9
    lanes = tl.arange(0, WIDTH)
    zero = tl.zeros([WIDTH], tl.float64)
    count = zero
    sum_x = zero
    sum_y = zero
    sum_z = zero
    for start in range(0, programs, WIDTH):
        at = start + lanes
        kept = at < programs
        n = tl.load(partial + 54 * programs + at, mask=kept, other=0.0).to(tl.float64)
        count += n
        sum_x += n * tl.load(partial + slot * programs + at, mask=kept, other=0.0).to(tl.float64)
        sum_y += n * tl.load(partial + (slot + 1) * programs + at, mask=kept, other=0.0).to(tl.float64)
        sum_z += n * tl.load(partial + (slot + 2) * programs + at, mask=kept, other=0.0).to(tl.float64)
    number = tl.sum(count)
    mean_x = tl.sum(sum_x) / number
    mean_y = tl.sum(sum_y) / number
    mean_z = tl.sum(sum_z) / number
    xx = zero
    xy = zero
    xz = zero
    yy = zero
    yz = zero
    zz = zero
    for start in range(0, programs, WIDTH):
        at = start + lanes
        kept = at < programs
        row = partial + slot * programs + at
        n = tl.load(partial + 54 * programs + at, mask=kept, other=0.0).to(tl.float64)
        x = tl.load(row, mask=kept, other=0.0).to(tl.float64) - mean_x
        y = tl.load(row + programs, mask=kept, other=0.0).to(tl.float64) - mean_y
        z = tl.load(row + 2 * programs, mask=kept, other=0.0).to(tl.float64) - mean_z
        xx += n * x * x + tl.load(row + 3 * programs, mask=kept, other=0.0).to(tl.float64)
        xy += n * x * y + tl.load(row + 4 * programs, mask=kept, other=0.0).to(tl.float64)
        xz += n * x * z + tl.load(row + 5 * programs, mask=kept, other=0.0).to(tl.float64)
        yy += n * y * y + tl.load(row + 6 * programs, mask=kept, other=0.0).to(tl.float64)
        yz += n * y * z + tl.load(row + 7 * programs, mask=kept, other=0.0).to(tl.float64)
        zz += n * z * z + tl.load(row + 8 * programs, mask=kept, other=0.0).to(tl.float64)
    out = joined + slot
    tl.store(out, mean_x)
    tl.store(out + 1, mean_y)
    tl.store(out + 2, mean_z)
    tl.store(out + 3, tl.sum(xx))
    tl.store(out + 4, tl.sum(xy))
    tl.store(out + 5, tl.sum(xz))
    tl.store(out + 6, tl.sum(yy))
    tl.store(out + 7, tl.sum(yz))
    tl.store(out + 8, tl.sum(zz))


def mean_option_moments(
    market: Market,
    steps: int,
    payoffs: int,
    seed: int,
    start: int,
    number: int,
    device: torch.device,
    geometric: bool = False,
    portable: bool = True,
) -> Tensor:
    """Simulate and summarise.

    Parameters
    ----------
    market : Market
        Asset and contract.
    steps : int
        Equal steps, whose ends make the mean; the expiry moves the first of them only.
    payoffs : int
        The contract and its controls, 1 to 3; the third is for an arithmetic mean.
    seed, start, number : int
        Range of the stream, as of `kernels.normals.standard_normals`.
    device : torch.device
        Where to.
    geometric : bool
        Whether the contract is on the geometric mean.
    portable : bool
        Whether the stream is that of `kernels.normals`, else that of `kernels.counter_normals`.

    Returns
    -------
    Tensor
        Shape (figures, 9), float64: of each figure the means of the payoffs, and their centred products 00, 01, 02,
        11, 12, 22; zero where there is no such payoff.
    """
    years = market.expiry / steps
    deviation, growth = market.volatility * years**0.5, market.rate - market.dividend_yield
    drift = growth * years - 0.5 * deviation * deviation
    to_base_2 = 1.4426950408889634
    programs = cdiv(cdiv(start % 4 + number, 4), _BLOCKS)
    partial = torch.empty(_ROWS, programs, dtype=torch.float32, device=device)
    if payoffs < _PAYOFFS:
        partial.zero_()
    joined = torch.empty(FIGURES, 9, dtype=torch.float64, device=device)
    _mean_options[(programs,)](
        partial, seed, start, number, steps, programs, market.spot, market.rate, market.expiry, market.strike,
        market.sign, 2.0 ** (-market.rate * market.expiry * to_base_2), drift * to_base_2, deviation * to_base_2,
        -market.volatility * years, years**0.5, years, growth - 0.5 * market.volatility**2,
        0.5 * market.volatility / years**0.5, 1.0 / deviation,
        GEOMETRIC=geometric, PAYOFFS=payoffs, PORTABLE=portable, BLOCKS=_BLOCKS, num_warps=_WARPS,
    )  # fmt: skip
    _join[(FIGURES,)](partial, joined, programs, WIDTH=256)
    return joined
