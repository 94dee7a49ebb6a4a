"""Normals to returns by the matrix units, and to the profit of plain positions, in one pass over the normals.

A number of float32 is the sum of two of float16 to :math:`2^{-22}` of it; three products of such halves, summed in
float32, have the error of a product of float32. Of instruments without options only the sum counts,
:math:`\\sum v (e^r - 1) = z'L'v + v'\\mu + \\sum v (e^r - 1 - r)`: its linear part is one column, and the rest is so
small where returns are that one product of halves makes it.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.kernels.triton.language import cdiv, jit, tl

FACTORS = 128  # at most, for a program holds them all
_WARPS = 4  # of a program
_SCENARIOS, _TAIL_SCENARIOS = 128, 64  # of a program; those of a tail lie apart, and more wait for them at once
_KEPT, _SUMMED = 16, 32  # instruments at a time: whose returns are stored, and the others
_LARGEST = 13  # powers of two under which the loading is brought: its halves stay far from float16's ends
_LEAST_WIDTH = 16  # of a product of the matrix units


class ProductTables(NamedTuple):
    """A loading packed for the kernel.

    Its rows are those of the instruments with options, the exposure and the first derivative of the others by factor,
    zeros up to whole pieces, and then those of the others, with zeros again.

    Attributes
    ----------
    halves : Tensor
        In units of `sheet`'s first row, two parts of float16, shape (2, rows, width).
    sheet : Tensor
        Rows of unit, shift, exposure, first and second derivative of the expansion, shape (5, rows).
    constants : Tensor
        The others' unit, and what their shift adds to both sums, shape (3,).
    lines : Tensor
        Instrument of each row, -1 for a sum of them, -2 where there is none, int32, shape (rows,).
    kept : int
        Rows before those of the others.
    calm : bool
        Whether one product will do for the others.
    """

    halves: Tensor
    sheet: Tensor
    constants: Tensor
    lines: Tensor
    kept: int
    calm: bool


def fits(spots: ScenarioSet) -> bool:
    """Whether returns are a product, of few enough factors."""
    return spots.loading.dim() == 2 and spots.loading.shape[1] <= FACTORS


def pack_products(
    spots: ScenarioSet, row: Tensor, exposures: Tensor, linear: Tensor, square: Tensor, calm: bool
) -> ProductTables:
    """Lay a loading out for the kernel.

    Parameters
    ----------
    spots : ScenarioSet
        Of which loading and shift are taken.
    row : Tensor
        Instruments with options, int64, rising.
    exposures, linear, square : Tensor
        By instrument: exposure, first and second derivative of the expansion.
    calm : bool
        Whether returns are small, under a third with certainty: one product of halves errs by about :math:`2^{-12}`
        of the return r, which leaves the price change an error of :math:`2^{-12} r^2`, 1e-5 of it at 5 percent.
    """
    loading, shift = spots.loading, spots.shift
    (assets, factors), options = loading.shape, len(row)
    width, kept = max(_LEAST_WIDTH, 1 << (factors - 1).bit_length()), cdiv(options + 2, _KEPT) * _KEPT
    plain = torch.ones_like(exposures).index_fill_(0, row, 0.0)
    order = torch.sort(plain, stable=True).indices
    lines = torch.full((kept + cdiv(assets - options, _SUMMED) * _SUMMED,), assets + 2, device=row.device)
    lines[:options] = order[:options]
    lines[options : options + 2] = torch.arange(assets, assets + 2, device=row.device)
    lines[kept : kept + assets - options] = order[options:]
    columns = torch.stack([shift, exposures, linear, square])
    nets = (columns[1:3] * plain) @ torch.cat([loading, shift[:, None]], dim=1)
    rows = torch.cat([loading, nets[:, :factors]])
    largest = rows.abs().amax(1)
    largest[:assets] = largest[:assets].amax()
    exponent = torch.frexp(largest).exponent - _LARGEST
    unit = torch.ldexp(torch.ones_like(largest), exponent)
    rows = pad(torch.ldexp(rows, -exponent[:, None]), (0, width - factors, 0, 1)).index_select(0, lines)
    high = rows.half()
    return ProductTables(
        torch.stack([high, (rows - high.to(rows.dtype)).half()]),
        torch.cat([pad(unit, (0, 1))[None], pad(columns, (0, 3))]).index_select(1, lines),
        torch.cat([unit[:1], nets[:, factors]]),
        torch.where(lines < assets, lines, torch.where(lines < assets + 2, -1, -2)).to(torch.int32),
        kept,
        calm,
    )


@jit()
def _curvature(x, CALM: tl.constexpr):
    """What the exponential has beyond one and its argument: a polynomial near 0, where differences lose digits."""
    near = 1.0 / 120.0 if CALM else 1.0 / 120.0 + x * (1.0 / 720.0 + x * (1.0 / 5040.0))
    near = 1.0 / 24.0 + x * near
    near = 1.0 / 6.0 + x * near
    near = x * x * (0.5 + x * near)
    return near if CALM else tl.where(tl.abs(x) < 0.35, near, tl.exp(x) - 1.0 - x)


@jit()
def _product(high, low, halves, row, second, WIDTH: tl.constexpr, EXACT: tl.constexpr):
    place = halves + row[None, :] * WIDTH + tl.arange(0, WIDTH)[:, None]
    large = tl.load(place)
    made = tl.dot(high, large)
    if EXACT:
        made = tl.dot(high, tl.load(place + second), made)
        made = tl.dot(low, large, made)
    return made


@jit("scenarios", "factors", "kept", "rows")
def _products(
    out, profits, expansions, normals, scale, halves, sheet, constants, lines, where, scenarios, factors, kept, rows,
    stride, out_stride, SCALED: tl.constexpr, TAIL: tl.constexpr, CALM: tl.constexpr, WIDTH: tl.constexpr,
    SCENARIOS: tl.constexpr, KEPT: tl.constexpr, SUMMED: tl.constexpr,
):  # fmt: skip
    """Store the products of the first `kept` rows, those of instruments by instrument in a tail; sum the others."""
    scenario = tl.program_id(0) * SCENARIOS + tl.arange(0, SCENARIOS)
    inside = scenario < scenarios
    source = scenario.to(tl.int64)
    if TAIL:
        source = tl.load(where + scenario, mask=inside, other=0)
    factor = tl.arange(0, WIDTH)
    place = normals + tl.cast(factor, tl.int64)[None, :] * stride + source[:, None]
    drawn = tl.load(place, mask=inside[:, None] & (factor < factors)[None, :], other=0.0)
    high = drawn.to(tl.float16)
    low = (drawn - high.to(tl.float32)).to(tl.float16)
    second = rows * WIDTH
    for start in tl.range(0, kept, KEPT, num_stages=1):
        row = tl.multiple_of(start, KEPT) + tl.arange(0, KEPT)
        made = _product(high, low, halves, row, second, WIDTH, True) * tl.load(sheet + row)[None, :]
        line = tl.load(lines + row)
        wanted = line > -2
        if TAIL:
            wanted = line >= 0
        else:
            line = row
        target = out + tl.cast(line, tl.int64)[None, :] * out_stride + scenario[:, None]
        tl.store(target, made, mask=inside[:, None] & wanted[None, :])
    if not TAIL:
        common = tl.zeros([SCENARIOS], tl.float32) + tl.load(constants)
        if SCALED:
            common *= tl.load(scale + scenario, mask=inside, other=1.0)
        profit = tl.zeros([SCENARIOS], tl.float32)
        expansion = tl.zeros([SCENARIOS], tl.float32)
        step = tl.multiple_of(rows, KEPT)
        for start in tl.range(kept, rows, SUMMED, num_stages=1):
            row = tl.multiple_of(start, KEPT) + tl.arange(0, SUMMED)
            column = sheet + step + row
            made = _product(high, low, halves, row, second, WIDTH, not CALM) * common[:, None]
            made += tl.load(column)[None, :]
            bent = _curvature(made, CALM)
            profit += tl.sum(bent * tl.load(column + step)[None, :], 1)
            change = made + bent
            square = tl.load(column + 3 * step)[None, :] * change
            expansion += tl.sum(bent * tl.load(column + 2 * step)[None, :] + square * change, 1)
        tl.store(profits + scenario, profit + tl.load(constants + 1), mask=inside)
        tl.store(expansions + scenario, expansion + tl.load(constants + 2), mask=inside)


def plain_sums(
    tables: ProductTables, spots: ScenarioSet, profits: Tensor, expansions: Tensor, returns: Tensor
) -> None:
    """Make the returns of instruments with options, and sum what the others' profits are made of.

    Parameters
    ----------
    tables : ProductTables
        From `pack_products`.
    spots : ScenarioSet
        The scenarios; factors are of a magnitude under a thousand.
    profits, expansions : Tensor
        Overwritten by the sums, full and expanded, but for parts that are linear in the normals, shape (scenarios,).
    returns : Tensor
        Overwritten by returns before scale and shift, and by these linear parts, shape (tables.kept, scenarios).
    """
    _run(tables, spots, returns, tables.kept, profits, expansions, None)


def tail_returns(tables: ProductTables, spots: ScenarioSet, where: Tensor) -> Tensor:
    """Returns of every instrument in the scenarios `where`, before scale and shift, shape (instruments, tail)."""
    returns = torch.empty(len(spots.shift), len(where), device=where.device)
    _run(tables, spots, returns, len(tables.lines), returns, returns, where)
    return returns


def _run(
    tables: ProductTables, spots: ScenarioSet, returns: Tensor, kept: int, profits: Tensor, expansions: Tensor,
    where: Tensor | None,
) -> None:  # fmt: skip
    factors, count, rows = spots.factors, returns.shape[1], len(tables.lines)
    size = _SCENARIOS if where is None else _TAIL_SCENARIOS
    _products[(cdiv(count, size),)](
        returns, profits, expansions, factors, tables.sheet if spots.scale is None else spots.scale, *tables[:4],
        tables.lines if where is None else where, count, len(factors), kept, rows, factors.stride(0),
        returns.stride(0), SCALED=spots.scale is not None, TAIL=where is not None, CALM=tables.calm,
        WIDTH=tables.halves.shape[2], SCENARIOS=size, KEPT=_KEPT, SUMMED=_SUMMED, num_warps=_WARPS,
    )  # fmt: skip
