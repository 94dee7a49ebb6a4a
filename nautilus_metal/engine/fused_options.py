"""Options of a book under scenarios on the CPU through a compiled loop, where numba (extra `fast`) is installed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.engine.threads import share
from nautilus_metal.kernels.fused_options import TILE, option_profits
from nautilus_metal.kernels.option_scenarios import BUFFERS, Moves, OptionTerms, option_changes

LEAST = 1 << 21  # options times scenarios: fewer take the eager kernel 20 ms, and have its bits in every process
_PART = 4 * TILE  # scenarios that a thread takes at a time
_TOLERANCE = 1e-5  # of the largest profit, between float32 sums
_LEAST_WIDTH = 1e-7
_NAME = "option_profits"

Profits = Callable[[OptionTerms, Tensor, Moves, Tensor], None]


def fused_profits(market: Moves, options: int, scenarios: int) -> Profits | None:
    """Return what adds the profits of options, less their forwards, to a sum over scenarios.

    Parameters
    ----------
    market : Moves
        Scenarios like those that will be asked for: their device and type count.
    options, scenarios : int
        Of the whole task, which must come to `LEAST`.

    Returns
    -------
    callable or None
        ``add(terms, notionals, market, profits)``; None where `option_changes` has to run.
    """
    kernels = fused_kernels(market.returns.device, "numba")
    if kernels is None or market.returns.dtype != torch.float32 or options * scenarios < LEAST:
        return None
    loop = kernels.trusted(_NAME, option_profits, _by_loop, _eager, _TOLERANCE)
    return None if loop is None else lambda *given: _looped(loop, *given)


def has_loop(device: torch.device) -> bool:
    """Whether a device's options are summed by a loop that is compiled and trusted."""
    kernels = fused_kernels(device, "numba")
    return kernels is not None and kernels.verdicts.get(_NAME, False)


def _looped(loop: Any, terms: OptionTerms, notionals: Tensor, market: Moves, profits: Tensor) -> None:
    columns = [terms.moneyness, terms.strike, terms.total_volatility.clamp(min=_LEAST_WIDTH), terms.sign, terms.base]
    table, rows = torch.stack(columns).numpy(), torch.stack([terms.row, terms.volatility_row]).numpy()
    still = market.returns[:0] if market.volatility is None else market.volatility
    moved = [each.contiguous().numpy() for each in (market.returns, market.changes, still)]
    amounts, sums = notionals.contiguous().numpy(), profits.numpy()
    if len(sums) * len(amounts) < LEAST >> 2:
        loop(*moved, table, rows, amounts, sums)
        return

    def work(first: int) -> None:
        part = slice(first, first + _PART)
        loop(*(each[:, part].copy() for each in moved), table, rows, amounts, sums[part])

    share(work, range(0, len(sums), _PART), BUFFERS * len(sums) * len(amounts))


def _sample() -> list[tuple[OptionTerms, Tensor, Moves, Tensor]]:
    """Calls and puts in, at and out of the money, with and without moves of volatility."""
    random = torch.Generator().manual_seed(0)
    scenarios, options = 2 * TILE + 3, 9
    returns = 0.05 * torch.randn(2, scenarios, generator=random)
    moneyness = torch.linspace(-0.4, 0.4, options)
    sign, widths = torch.where(moneyness <= 0, 1.0, -1.0), torch.linspace(0.02, 0.5, options)
    widths[4] = 0.0
    rows = torch.arange(options) % 2
    terms = OptionTerms(moneyness, (-moneyness).exp(), widths, sign, 0.1 * widths, rows, rows)
    factors = (0.2 * torch.randn(2, scenarios, generator=random)).exp()
    notionals = torch.randn(options, generator=random)
    markets = (Moves(returns, returns.expm1(), each) for each in (None, factors))
    return [(terms, notionals, market, torch.zeros(scenarios)) for market in markets]


def _by_loop(loop: Any) -> list[Tensor]:
    rows = _sample()
    for row in rows:
        _looped(loop, *row)
    return [profits for *_, profits in rows]


def _eager() -> list[Tensor]:
    found = []
    for terms, notionals, market, profits in _sample():
        buffer = torch.empty(BUFFERS * len(notionals) * len(profits))
        found.append(profits + notionals @ option_changes(terms, market, buffer))
    return found
