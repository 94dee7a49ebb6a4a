"""Losses of a book with options in a piece of the scenarios: by fused kernels where there are some, else eager."""

import torch
from torch import Tensor

from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.engine.fused_options import fused_profits
from nautilus_metal.kernels.metal import calls
from nautilus_metal.kernels.option_scenarios import Moves, option_changes
from nautilus_metal.risk.option_tables import Tables

TOLERANCE = 1e-4  # of the largest gross move: float32 in both
_ROUNDED = 1e-2  # of an option's notional, what its rounding is measured by where it hardly moves


def piece_losses(tables: Tables, market: Moves, rows: int, buffer: Tensor) -> tuple[Tensor, Tensor]:
    """Losses by full revaluation and by expansion, each of shape (scenarios,).

    Parameters
    ----------
    tables : Tables
        The book.
    market : Moves
        The scenarios; written over.
    rows : int
        Options to take at a time.
    buffer : Tensor
        Scratch, see `kernels.option_scenarios.option_changes`.
    """
    kernels = fused_kernels(market.returns.device)
    if kernels is None or market.returns.dtype != torch.float32:
        return _in_turn(tables, market, rows, buffer)
    held = calls.Holdings(tables.notionals, tables.exposures, *tables.expansion, tables.decay)
    full, expanded = kernels.run(
        "book_losses",
        "options",
        lambda library: calls.book_losses(library, tables.terms, held, market),
        lambda: _in_turn(tables, market, rows, buffer),
        TOLERANCE,
        lambda: gross(tables, market),
    )
    return full, expanded


def _in_turn(tables: Tables, market: Moves, rows: int, buffer: Tensor) -> tuple[Tensor, Tensor]:
    linear, square, volatility = tables.expansion
    profits = tables.exposures @ market.changes
    add = fused_profits(market, len(tables.notionals), tables.scenarios.size)
    if add is not None:
        add(tables.terms, tables.notionals, market, profits)
    else:
        for start in range(0, len(tables.notionals), rows):
            part = slice(start, start + rows)
            profits += tables.notionals[part] @ option_changes(tables.terms.part(part), market, buffer)
    expanded = linear @ market.changes + square @ market.changes.square_() + tables.decay
    if market.volatility is not None:
        expanded += volatility @ market.volatility.sub_(1.0)
    return profits.neg_(), expanded.neg_()


def gross(tables: Tables, market: Moves) -> float:
    """The largest move of the book if nothing in it offset anything."""
    linear, square, _ = tables.expansion
    moves = (tables.exposures.abs() + linear.abs()) @ market.changes.abs() + square.abs() @ market.changes.square()
    return float(moves.max() + _ROUNDED * tables.notionals.abs().sum())
