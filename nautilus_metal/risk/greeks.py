"""Sensitivities of a book: by position, by underlying and in total, in the book's base currency."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from nautilus_metal.kernels import black_scholes
from nautilus_metal.risk.book import Array, Book

MEASURES = ("delta", "cash_delta", "gamma", "cash_gamma", "vega", "theta", "rho", "vanna", "volga")


@dataclass(frozen=True, eq=False)
class BookGreeks:
    """Sensitivities of a book's value in its base currency; every array is of shape (positions,).

    A position that is no option has a delta and nothing else.

    Attributes
    ----------
    book : Book
        The snapshot.
    delta : ndarray
        By a rise of the underlying's price by 1.00. It adds up over positions on one underlying, not across them.
    cash_delta : ndarray
        By a rise of the underlying's price by 100%, extrapolated: delta times spot. It adds up across underlyings.
    gamma : ndarray
        Change of `delta` by a rise of the underlying's price by 1.00.
    cash_gamma : ndarray
        Gamma times spot squared: half of it times a squared relative move is the second-order P&L.
    vega : ndarray
        By a rise of the implied volatility by 1.00.
    theta : ndarray
        By the passing of a year, extrapolated.
    rho : ndarray
        By a rise of the rate by 1.00.
    vanna, volga : ndarray
        Change of `delta`, and of `vega`, by a rise of the implied volatility by 1.00.
    """

    book: Book
    delta: Array
    cash_delta: Array
    gamma: Array
    cash_gamma: Array
    vega: Array
    theta: Array
    rho: Array
    vanna: Array
    volga: Array

    @cached_property
    def total(self) -> Mapping[str, float]:
        """Sum of each measure over the book; that of `delta`, `gamma`, `vanna` has no meaning across underlyings."""
        return {name: float(getattr(self, name).sum()) for name in MEASURES}

    @cached_property
    def by_underlying(self) -> Mapping[str, Mapping[str, float]]:
        """Sum of each measure over the positions that move with an instrument, by the instrument's name."""
        index, names = self.book.instrument_index, self.book.instruments
        sums = {
            measure: np.bincount(index, weights=getattr(self, measure), minlength=len(names)) for measure in MEASURES
        }
        return {name: {measure: float(row[i]) for measure, row in sums.items()} for i, name in enumerate(names)}


def book_greeks(book: Book) -> BookGreeks:
    """Differentiate the value of a book, in float64 on the host, once for each book.

    Parameters
    ----------
    book : Book
        The positions; multipliers and exchange rates count.

    Returns
    -------
    BookGreeks
        By position, by underlying and in total; its arrays are for reading.

    Examples
    --------
    >>> from nautilus_metal.risk import Option, Position
    >>> call = Option("SPY", "call", strike=100.0, expiry=1.0, volatility=0.2, spot=100.0, rate=0.05)
    >>> greeks = book_greeks(Book([Position("SPY", -64, 100.0), Position("SPY C100", 1, 10.45, 100, option=call)]))
    >>> [round(float(delta), 2) for delta in greeks.delta], round(greeks.total["delta"], 2)
    ([-64.0, 63.68], -0.32)
    """
    return BookGreeks(book, **book.once(_measures))


def _measures(book: Book) -> dict[str, Array]:
    units, index = book.units, book.option_index
    measures = {name: np.zeros(len(units)) for name in MEASURES}
    measures["delta"][:], measures["cash_delta"][:] = units, book.values
    if len(index):
        market = option_market(book)
        found = black_scholes.greeks(**market)
        spot = market["spot"].numpy()
        for name in ("delta", "gamma", "vega", "theta", "rho", "vanna", "volga"):
            measures[name][index] = units[index] * getattr(found, name).numpy()
        measures["cash_delta"][index] = measures["delta"][index] * spot
        measures["cash_gamma"][index] = measures["gamma"][index] * spot**2
    for measure in measures.values():
        measure.flags.writeable = False
    return measures


def option_market(book: Book) -> dict[str, torch.Tensor]:
    """The arguments of `black_scholes.price` of a book's options, each float64 of shape (options,)."""
    return {name: torch.from_numpy(column) for name, column in book.option_columns.items()}
