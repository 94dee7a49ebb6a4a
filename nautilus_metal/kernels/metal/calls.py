"""Tensors in and out of the shaders; `library` is what `torch.mps.compile_shader` made of one.

All tensors are float32 on the device of the library, and so are the results.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.option_scenarios import Moves, OptionTerms

_WORDS = 4  # that a block of Philox yields


class Stream(NamedTuple):
    """A range of positions of the portable normals; with `mirrored`, each of them and then its negative.

    Attributes
    ----------
    seed, start, number : int
        As of `kernels.normals.standard_normals`, which calls the last one `count`.
    mirrored : bool
        Whether as many more follow, of the other sign.
    """

    seed: int
    start: int
    number: int
    mirrored: bool

    @property
    def blocks(self) -> int:
        """Blocks of Philox that hold the range."""
        return -(-(self.start % _WORDS + self.number) // _WORDS)

    @property
    def paths(self) -> int:
        """Numbers in a row."""
        return self.number * (2 if self.mirrored else 1)


def stream_normals(library: Any, stream: Stream, rows: int, device: torch.device) -> Tensor:
    """Make rows of a stream, the first of which is row 0; shape (rows, paths), within 2e-6 of float64's."""
    made = torch.empty(rows, stream.number, device=device)
    library.portable_normals(
        made, stream.blocks, stream.number, stream.seed, stream.start, threads=(rows * stream.blocks,)
    )
    return torch.cat([made, -made], -1) if stream.mirrored else made


def stream_paths(
    library: Any, stream: Stream, steps: int, spot: float, drift: float, deviation: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Walk geometric Brownian motions.

    Parameters
    ----------
    library : Any
        The shader "paths".
    stream : Stream
        The normals: a row for each step.
    steps : int
        Equal steps.
    spot, drift, deviation : float
        Today's price, and drift and deviation of the logarithm in a step.
    device : torch.device
        Where to.

    Returns
    -------
    tuple of Tensor
        Prices, shape (steps + 1, paths), row 0 being today; sums of the normals so far, shape (steps, paths).
    """
    spots = torch.empty(steps + 1, stream.paths, device=device)
    sums = torch.empty(steps, stream.paths, device=device)
    library.portable_paths(
        spots, sums, steps, stream.number, int(stream.mirrored), stream.seed, stream.start, spot, drift, deviation,
        threads=(stream.blocks,),
    )  # fmt: skip
    return spots, sums


def rsi_scan(library: Any, prices: Tensor, periods: Sequence[int]) -> Tensor:
    """RSI as `kernels.rsi.rsi` has it; prices (series, bars), result (periods, series, bars)."""
    series, bars = prices.shape
    settings = _settings([(n, 1.0 / n, 1.0 - 1.0 / n) for n in periods], prices)
    result = torch.empty(len(periods), series, bars, device=prices.device)
    library.rsi_scan(result, prices.contiguous(), settings, series, bars, threads=(len(periods) * series,))
    return result


def macd_scan(library: Any, prices: Tensor, periods: Sequence[tuple[int, int, int]]) -> Tensor:
    """MACD as `kernels.macd.macd` has it; prices (series, bars), result (3, settings, series, bars)."""
    series, bars = prices.shape
    rows = [(*each, *(1.0 - 2.0 / (n + 1.0) for n in each), 2.0 / (each[2] + 1.0)) for each in periods]
    settings = _settings(rows, prices)
    result = torch.empty(3, len(rows), series, bars, device=prices.device)
    library.macd_scan(result, prices.contiguous(), settings, len(rows), series, bars, threads=(len(rows) * series,))
    return result


def _settings(rows: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).to(like.device)


class Holdings(NamedTuple):
    """A book's amounts; see `kernels.option_scenarios` for the units.

    Attributes
    ----------
    notionals : Tensor
        Of the options, shape (options,).
    exposures, linear, square : Tensor
        Plain positions, and the first two terms of the whole book's expansion, shape (assets,).
    volatility : Tensor
        The expansion by the volatilities, shape (volatilities,).
    decay : float
        The expansion's constant.
    """

    notionals: Tensor
    exposures: Tensor
    linear: Tensor
    square: Tensor
    volatility: Tensor
    decay: float


def book_losses(library: Any, terms: OptionTerms, held: Holdings, market: Moves) -> tuple[Tensor, Tensor]:
    """Losses in each scenario, by full revaluation and by expansion, each of shape (scenarios,)."""
    assets, count = market.returns.shape
    options, factors = len(held.notionals), market.volatility
    losses = torch.empty(2, count, device=market.returns.device)
    vegas = held.exposures if factors is None else held.volatility  # not read without factors, but a buffer is due
    columns = (terms.moneyness, terms.strike, terms.total_volatility, terms.sign, terms.base, held.notionals)
    library.book_losses(
        losses[0], losses[1], market.returns, market.changes, market.returns if factors is None else factors,
        torch.stack(columns), torch.stack([terms.row, terms.volatility_row]),
        torch.stack([held.exposures, held.linear, held.square]), vegas, float(held.decay),
        count, assets, options, 0 if factors is None else len(factors), threads=(count,),
    )  # fmt: skip
    return losses[0], losses[1]
