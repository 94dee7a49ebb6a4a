"""Stress tests of a book: full revaluation on a grid of spot, volatility and time, and moves that have a name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import black_scholes
from nautilus_metal.risk.book import Array, Book
from nautilus_metal.risk.checks import at_least, finite
from nautilus_metal.risk.greeks import option_market
from nautilus_metal.risk.option import DAYS_PER_YEAR

_PIECE = 2**18  # revaluations at a time
_LEAST = {"spot": -1.0, "volatility": -1.0, "days": 0.0}
_SINGULAR = {"spots": "spot", "volatilities": "volatility", "days": "days"}


@dataclass(frozen=True, slots=True)
class Stress:
    """One move of the whole market.

    Parameters
    ----------
    spot : float, default 0.0
        Relative move of every price, -0.2 for a fall by 20%; not below -1.
    volatility : float, default 0.0
        Relative move of every implied volatility, 0.5 for a rise by half; not below -1.
    days : float, default 0.0
        Calendar days that pass, not negative.
    """

    spot: float = 0.0
    volatility: float = 0.0
    days: float = 0.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            object.__setattr__(self, name, at_least(getattr(self, name), least, f"`{name}` of a stress"))


STRESSES: dict[str, Stress] = {
    "crash -20% / vol +50%": Stress(spot=-0.20, volatility=0.50),
    "crash -10% / vol +30%": Stress(spot=-0.10, volatility=0.30),
    "fall -5% / vol +15%": Stress(spot=-0.05, volatility=0.15),
    "rally +5% / vol -15%": Stress(spot=0.05, volatility=-0.15),
    "rally +10% / vol -20%": Stress(spot=0.10, volatility=-0.20),
    "spot still / vol +50%": Stress(volatility=0.50),
    "spot still / vol -30%": Stress(volatility=-0.30),
    "spot still / a week": Stress(days=7),
}


def stress_grid(book: Book, spot_moves: ArrayLike, volatility_moves: ArrayLike, days: ArrayLike = 0.0) -> Array:
    """Revalue a book at every combination of moves, in float64 on the host.

    Prices of what is no option move by the spot move and do not age. Rates, yields and exchange rates stay.

    Parameters
    ----------
    book : Book
        The positions.
    spot_moves, volatility_moves : array_like
        Relative moves of every price and of every implied volatility, not below -1; shapes (spots,), (volatilities,).
    days : array_like, default 0.0
        Calendar days that pass, not negative, shape (times,). An option that expires within them is worth its payoff.

    Returns
    -------
    ndarray
        P&L in the base currency, shape (spots, volatilities, times). A gain is positive.

    Raises
    ------
    InputError
        If a move is not finite or outside its range.

    Examples
    --------
    >>> from nautilus_metal.risk import Option, Position
    >>> put = Option("SPY", "put", strike=100.0, expiry=0.25, volatility=0.2, spot=100.0)
    >>> book = Book([Position("SPY P100", 1, 3.99, 100, option=put)])
    >>> stress_grid(book, [-0.2, 0.0, 0.2], [0.0, 0.5])[..., 0].round(1)
    array([[1605.2, 1641.6],
           [   0. ,  199.1],
           [-384. , -309.6]])
    """
    spots, volatilities = checked_moves(spot_moves, "spots"), checked_moves(volatility_moves, "volatilities")
    years = checked_moves(days, "days") / DAYS_PER_YEAR
    grid = np.zeros((len(spots), len(volatilities), len(years)))
    grid += (book.exposures.sum() * spots)[:, None, None]
    if len(book.option_index):
        grid += _option_grid(book, spots, volatilities, years)
    return grid


def stress(book: Book, name: str | Stress) -> float:
    """P&L of a book under a named stress, a row of `STRESSES`, or under one of your own.

    Raises
    ------
    InputError
        If there is no such stress.
    """
    move = stress_named(name)
    return float(stress_grid(book, move.spot, move.volatility, move.days)[0, 0, 0])


def stresses(book: Book, names: Sequence[str | Stress] = tuple(STRESSES)) -> dict[str, float]:
    """P&L of a book under each of several stresses, by name; errors as for `stress`."""
    return {name if isinstance(name, str) else str(name): stress(book, name) for name in names}


def stress_named(name: str | Stress) -> Stress:
    """Return the table's row `name`; a `Stress` passes."""
    if isinstance(name, Stress):
        return name
    if not isinstance(name, str) or name not in STRESSES:
        raise InputError(f"`name` must be one of {', '.join(map(repr, STRESSES))}, was {name!r}")
    return STRESSES[name]


def _option_grid(book: Book, spots: Array, volatilities: Array, years: Array) -> Array:
    market = {name: column[:, None, None, None] for name, column in option_market(book).items()}
    units = torch.from_numpy(book.units[book.option_index])
    spot, volatility, time = (torch.from_numpy(m) for m in (1.0 + spots, 1.0 + volatilities, years))
    nodes = len(spots) * len(volatilities) * len(years)
    total = torch.zeros(len(spots), len(volatilities), len(years), dtype=torch.float64)
    step = max(1, _PIECE // max(1, nodes))
    for start in range(0, len(units), step):
        part = {name: column[start : start + step] for name, column in market.items()}
        before = black_scholes.price(**part)
        moved = part | {
            "spot": part["spot"] * spot[:, None, None],
            "volatility": part["volatility"] * volatility[:, None],
            "expiry": (part["expiry"] - time).clamp(min=0.0),
        }
        changes = black_scholes.price(**moved) - before
        total += torch.einsum("o,osvt->svt", units[start : start + step], changes)
    return total.numpy()


def checked_moves(moves: ArrayLike, axis: str) -> Array:
    """Return the moves of one axis of a grid as an array of shape (moves,).

    Parameters
    ----------
    moves : array_like
        A number, or a row of numbers.
    axis : {"spots", "volatilities", "days"}
        Which one.

    Raises
    ------
    InputError
        If a move is not finite or outside the axis' range.
    """
    name = _SINGULAR[axis]
    least = _LEAST[name]
    try:
        values = np.atleast_1d(np.asarray(moves, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.array([finite(moves, f"`{name}` of a stress")])
    if values.ndim != 1:
        raise InputError(f"`{name}` of a stress must be a number or a row of numbers, was of shape {values.shape}")
    for value in values[~(np.isfinite(values) & (values >= least))]:
        raise InputError(f"`{name}` of a stress must be finite and at least {least:g}, was {value}")
    return values
