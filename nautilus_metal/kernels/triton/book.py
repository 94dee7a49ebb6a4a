"""A book with options in every scenario: from returns to losses in one pass over the instruments, nothing stored.

The formula is that of `kernels.option_scenarios`, in the same units. Options stand behind their underlying, whose
return and price change they share. Where returns are a product of few factors, `kernels.triton.book_products` makes
those of the underlyings alone, and this pass goes over these.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.option_scenarios import JointScenarios, OptionTerms
from nautilus_metal.kernels.triton.book_products import ProductTables, fits, pack_products, plain_sums, tail_returns
from nautilus_metal.kernels.triton.language import cdiv, jit, tl
from nautilus_metal.kernels.triton.normals import ratio

_SCENARIOS, _WARPS = 512, 4  # of a program
_TAIL, _TAIL_WARPS = 1024, 4
_PIECE = 2**26  # returns at a time, 256 MiB: products of fewer take longer in all


class BookTables(NamedTuple):
    """A book packed for the kernels; amounts in one unit.

    Attributes
    ----------
    assets : Tensor
        Rows of shift, exposure, first and second derivative of the expansion, and of the volatility slope, centre,
        spread and vega, shape (8, assets).
    options : Tensor
        Rows of moneyness, strike, total volatility, sign, base and notional, shape (6, options), by underlying.
    places : Tensor
        First option of each instrument, and the end, int32, shape (assets + 1,).
    lines : Tensor
        Row of each instrument among the volatilities, int32, shape (assets,).
    order : Tensor
        Where each option was before, int32, shape (options,).
    decay : Tensor
        The expansion's constant, shape (1,).
    which : Tensor
        Instruments whose returns the pass goes over, int32: all, or with `products` those with options.
    products : ProductTables or None
        What makes returns, where they are a product that fits it.
    """

    assets: Tensor
    options: Tensor
    places: Tensor
    lines: Tensor
    order: Tensor
    decay: Tensor
    which: Tensor
    products: ProductTables | None

    def parts(self) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], BookTables]]:
        """The tensors, and what makes the same tables of others in their place."""
        products, names = self.products, BookTables._fields[:7]
        if products is None:
            return [getattr(self, name) for name in names], lambda given: self._replace(**_named(names, given))
        inner = ProductTables._fields[:4]

        def rebuilt(given: Sequence[Tensor]) -> BookTables:
            made = products._replace(**_named(inner, given[7:]))
            return self._replace(products=made, **_named(names, given[:7]))

        return [*(getattr(self, name) for name in names), *(getattr(products, name) for name in inner)], rebuilt


def _named(names: Sequence[str], given: Sequence[Tensor]) -> dict[str, Any]:
    return dict(zip(names, given, strict=True))


def pack(
    scenarios: JointScenarios,
    terms: OptionTerms,
    notionals: Tensor,
    exposures: Tensor,
    expansion: tuple[Tensor, Tensor, Tensor],
    decay: Tensor,
    calm: bool = False,
) -> BookTables:
    """Lay a book out for the kernels; see `risk.option_tables.Tables`."""
    linear, square, vegas = expansion
    every, products = torch.arange(len(exposures) + 1, device=exposures.device), None
    if fits(scenarios.spots):
        products = pack_products(scenarios.spots, scenarios.row, exposures, linear, square, calm)
    own = torch.zeros(4, len(exposures), dtype=exposures.dtype, device=exposures.device)
    own[:, scenarios.row] = torch.stack([scenarios.slope, scenarios.centre, scenarios.spread, vegas])
    lines = torch.zeros(len(exposures), dtype=torch.int32, device=exposures.device)
    lines[scenarios.row] = torch.arange(len(scenarios.row), dtype=torch.int32, device=exposures.device)
    row, order = torch.sort(terms.row, stable=True)
    columns = torch.stack([*terms[:5], notionals])
    return BookTables(
        torch.cat([torch.stack([scenarios.spots.shift, exposures, linear, square]), own]),
        columns.index_select(1, order),
        torch.searchsorted(row, every).to(torch.int32),
        lines,
        order.to(torch.int32),
        decay,
        (every[:-1] if products is None else scenarios.row).to(torch.int32),
        products,
    )


@jit()
def _expm1(x):
    """Float32 to rounding: a polynomial near 0, where the exponential less one would lose digits."""
    near = 1.0 / 720.0 + x * (1.0 / 5040.0)
    near = 1.0 / 120.0 + x * near
    near = 1.0 / 24.0 + x * near
    near = 1.0 / 6.0 + x * near
    near = 0.5 + x * near
    near = x + x * x * near
    return tl.where(tl.abs(x) < 0.35, near, tl.exp(x) - 1.0)


@jit()
def _complementary_error(x):
    """Press et al. (1992), Numerical Recipes, section 6.2, `erfcc`: 1.2e-7 relative before rounding."""
    z = tl.abs(x)
    t = ratio(1.0, 1.0 + 0.5 * z)
    p = 0.17087277 * t - 0.82215223
    p = p * t + 1.48851587
    p = p * t - 1.13520398
    p = p * t + 0.27886807
    p = p * t - 0.18628806
    p = p * t + 0.09678418
    p = p * t + 0.37409196
    p = p * t + 1.00002368
    p = p * t - 1.26551223
    tail = t * tl.exp(p - z * z)
    return tl.where(x < 0.0, 2.0 - tail, tail)


@jit()
def _asset(returns, scale, noise, assets, lines, i, a, instruments, scenario, inside, stride, noise_stride,
           SCALED: tl.constexpr, NOISY: tl.constexpr):  # fmt: skip
    """Log returns of an instrument, which are in row i, and the factor on its volatility."""
    made = tl.load(returns + tl.cast(i, tl.int64) * stride + scenario, mask=inside, other=0.0)
    if SCALED:
        made = made * tl.load(scale + scenario, mask=inside, other=1.0)
    made += tl.load(assets + a)
    volatility = made * 0.0 + 1.0
    if NOISY:
        column = assets + 4 * instruments + a
        line = tl.load(lines + a).to(tl.int64)
        drawn = tl.load(noise + line * noise_stride + scenario, mask=inside, other=0.0)
        moved = (made - tl.load(column + instruments)) * tl.load(column)
        volatility = tl.exp(moved + tl.load(column + 2 * instruments) * drawn)
    return made, volatility


@jit()
def _option(sheet, o, contracts, made, change, volatility):
    """Change of value of an option less that of its forward, see `kernels.option_scenarios.option_changes`."""
    column = sheet + o
    sign = tl.load(column + 3 * contracts)
    side = -0.70710678118654752 * sign
    total = tl.maximum(tl.load(column + 2 * contracts) * volatility, 1e-7)
    middle = ratio(made + tl.load(column), total) * side
    half = (0.5 * side) * total
    strike_part = _complementary_error(middle - half) * tl.load(column + contracts)
    spot_part = _complementary_error(middle + half)
    return (spot_part + spot_part * change - strike_part) * (0.5 * sign) - tl.load(column + 4 * contracts)


@jit("instruments", "contracts", "held")
def _book_losses(
    losses, expanded, returns, scale, noise, assets, sheet, places, lines, decay, which, scenarios, instruments,
    contracts, held, stride, noise_stride, PARTS: tl.constexpr, SCALED: tl.constexpr, NOISY: tl.constexpr,
    SCENARIOS: tl.constexpr,
):  # fmt: skip
    """Turn the profits of other instruments, which stand in `losses` and `expanded`, into losses of the book.

    With PARTS, their parts that are linear in the normals are in the rows after the returns.
    """
    scenario = tl.program_id(0) * SCENARIOS + tl.arange(0, SCENARIOS)
    inside = scenario < scenarios
    profit = tl.load(losses + scenario, mask=inside, other=0.0)
    expansion = tl.load(expanded + scenario, mask=inside, other=0.0) + tl.load(decay)
    if PARTS:
        common = profit * 0.0 + 1.0
        if SCALED:
            common = tl.load(scale + scenario, mask=inside, other=1.0)
        place = returns + tl.cast(held, tl.int64) * stride + scenario
        profit += common * tl.load(place, mask=inside, other=0.0)
        expansion += common * tl.load(place + stride, mask=inside, other=0.0)
    for i in range(held):
        a = tl.load(which + i)
        made, volatility = _asset(returns, scale, noise, assets, lines, i, a, instruments, scenario, inside, stride,
                                  noise_stride, SCALED, NOISY)  # fmt: skip
        change = _expm1(made)
        column = assets + instruments + a
        profit += tl.load(column) * change
        expansion += (tl.load(column + instruments) + tl.load(column + 2 * instruments) * change) * change
        if NOISY:
            expansion += tl.load(column + 6 * instruments) * (volatility - 1.0)
        for o in range(tl.load(places + a), tl.load(places + a + 1)):
            value = _option(sheet, o, contracts, made, change, volatility)
            profit += tl.load(sheet + 5 * contracts + o) * value
    tl.store(losses + scenario, -profit, mask=inside)
    tl.store(expanded + scenario, -expansion, mask=inside)


@jit("instruments", "contracts", "tail")
def _tail_basis(
    partial, weights, returns, scale, noise, assets, sheet, places, lines, order, tail, instruments, contracts,
    stride, noise_stride, SCALED: tl.constexpr, NOISY: tl.constexpr, SCENARIOS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Weigh the changes of one instrument and of its options over SCENARIOS scenarios."""
    a = tl.program_id(1)
    scenario = tl.program_id(0) * SCENARIOS + tl.arange(0, SCENARIOS)
    inside = scenario < tail
    made, volatility = _asset(returns, scale, noise, assets, lines, a, a, instruments, scenario, inside, stride,
                              noise_stride, SCALED, NOISY)  # fmt: skip
    change = _expm1(made)
    target = partial + tl.program_id(0) * (instruments + contracts) * COLUMNS
    for c in tl.static_range(COLUMNS):
        weight = tl.load(weights + c * tail + scenario, mask=inside, other=0.0)
        tl.store(target + a * COLUMNS + c, tl.sum(weight * change))
    for o in range(tl.load(places + a), tl.load(places + a + 1)):
        value = _option(sheet, o, contracts, made, change, volatility)
        row = instruments + tl.load(order + o)
        for c in tl.static_range(COLUMNS):
            weight = tl.load(weights + c * tail + scenario, mask=inside, other=0.0)
            tl.store(target + row * COLUMNS + c, tl.sum(weight * value))


def book_losses(tables: BookTables, scenarios: JointScenarios) -> Tensor:
    """Losses in each scenario.

    Parameters
    ----------
    tables : BookTables
        From `pack`.
    scenarios : JointScenarios
        Those that it was made for, float32.

    Returns
    -------
    Tensor
        By full revaluation and by expansion, shape (2, scenarios).
    """
    count, assets = scenarios.size, tables.assets.shape[1]
    rows, held = assets if tables.products is None else tables.products.kept, len(tables.which)
    losses = torch.empty(2, count, device=tables.assets.device)
    width = min(count, max(_SCENARIOS, _PIECE // rows // _SCENARIOS * _SCENARIOS))
    returns = torch.empty(rows * width, device=tables.assets.device)
    for start in range(0, count, width):
        part = scenarios.part(slice(start, min(start + width, count)))
        made, sums = returns[: rows * part.size].view(rows, part.size), losses[:, start : start + part.size]
        if tables.products is None:
            _products(part, made)
            sums.zero_()
        else:
            plain_sums(tables.products, part.spots, sums[0], sums[1], made)
        _book_losses[(cdiv(part.size, _SCENARIOS),)](
            sums[0], sums[1], made, *_rows(tables, part), *tables[:4], tables.decay, tables.which, part.size, assets,
            tables.options.shape[1], held, part.size, _stride(part), PARTS=tables.products is not None,
            SCENARIOS=_SCENARIOS, **_flags(part), num_warps=_WARPS,
        )  # fmt: skip
    return losses


def tail_basis(tables: BookTables, scenarios: JointScenarios, where: Tensor, weights: Tensor) -> Tensor:
    """Price changes and option changes weighed over some scenarios.

    Parameters
    ----------
    tables : BookTables
        From `pack`.
    scenarios : JointScenarios
        All of them.
    where : Tensor
        Numbers of those scenarios, int64, shape (tail,).
    weights : Tensor
        Shape (tail, figures).

    Returns
    -------
    Tensor
        Shape (assets + options, figures).
    """
    count, assets, options = len(where), tables.assets.shape[1], tables.options.shape[1]
    if tables.products is None:
        tail = scenarios.part(where)
        returns = torch.empty(assets, count, device=weights.device)
        _products(tail, returns)
    else:
        tail = scenarios.without_factors().part(where)
        returns = tail_returns(tables.products, scenarios.spots, where)
    parts, figures = cdiv(count, _TAIL), weights.shape[1]
    partial = torch.empty(parts, assets + options, figures, device=weights.device)
    _tail_basis[(parts, assets)](
        partial, weights.T.contiguous(), returns, *_rows(tables, tail), *tables[:4], tables.order, count, assets,
        options, count, _stride(tail), SCENARIOS=_TAIL, COLUMNS=figures, **_flags(tail), num_warps=_TAIL_WARPS,
    )  # fmt: skip
    return partial.sum(0)


def _products(scenarios: JointScenarios, out: Tensor) -> None:
    loading, factors = scenarios.spots.loading, scenarios.spots.factors
    if loading.dim() == 1:
        torch.mul(loading[:, None], factors, out=out)
    else:
        torch.matmul(loading, factors, out=out)


def _rows(tables: BookTables, scenarios: JointScenarios) -> tuple[Tensor, Tensor]:
    """Scale and noise; where there is none, something that is not read."""
    scale, noise = scenarios.spots.scale, scenarios.noise
    return tables.assets if scale is None else scale, tables.assets if noise is None else noise


def _stride(scenarios: JointScenarios) -> int:
    return 0 if scenarios.noise is None else scenarios.noise.stride(0)


def _flags(scenarios: JointScenarios) -> dict[str, bool]:
    return {"SCALED": scenarios.spots.scale is not None, "NOISY": scenarios.noise is not None}
