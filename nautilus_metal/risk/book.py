"""A book: an immutable snapshot of positions, priced and converted to one currency."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.risk.checks import finite
from nautilus_metal.risk.option import Option

Array = NDArray[np.float64]
Index = NDArray[np.intp]
_COLUMNS = ("spot", "strike", "expiry", "rate", "volatility", "dividend_yield")


@dataclass(frozen=True, slots=True)
class Position:
    """A signed quantity of one instrument. Numbers of any kind are kept as floats.

    Parameters
    ----------
    instrument : str
        The instrument's name; positions of one name share one return series, unless they are options.
    quantity : float
        Signed: negative is short.
    price : float
        In `currency` for each unit.
    multiplier : float, default 1.0
        Units for each contract.
    currency : str, default "USD"
        Of the price.
    option : Option, optional
        The terms of an option: its returns are those of its underlying, its P&L is by revaluation.
    """

    instrument: str
    quantity: float
    price: float
    multiplier: float = 1.0
    currency: str = "USD"
    option: Option | None = None

    def __post_init__(self) -> None:
        for name in ("quantity", "price", "multiplier"):
            number = getattr(self, name)
            object.__setattr__(self, name, finite(number, f"`{name}` of {self.instrument}"))
        if self.option is not None and not isinstance(self.option, Option):
            raise InputError(f"`option` of {self.instrument} must be an Option, was {self.option!r}")

    @property
    def factor(self) -> str:
        """The instrument whose returns move it: an option's underlying, else itself."""
        return self.instrument if self.option is None else self.option.underlying


@dataclass(frozen=True)
class Book:
    """Positions at one moment.

    Exchange rates are held constant over the horizon: they convert amounts, they are no risk factor.

    Parameters
    ----------
    positions : sequence of Position
        May be empty, and may hold several positions of one instrument.
    base_currency : str, default "USD"
        The currency of every amount that comes out.
    xrates : mapping of str to float, optional
        Units of the base currency for one unit of each other currency.

    Raises
    ------
    InputError
        If the exchange rate of a position's currency is missing, or not a positive number.
    """

    positions: Sequence[Position]
    base_currency: str = "USD"
    xrates: Mapping[str, float] = field(default_factory=dict)
    _made: dict[Callable[["Book"], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "positions", tuple(self.positions))
        object.__setattr__(self, "xrates", MappingProxyType(dict(self.xrates)))
        for position in self.positions:
            if not isinstance(position, Position):
                raise InputError(f"`positions` must hold Position objects, held {position!r}")
            self._xrate(position)
        if not np.isfinite(self.values).all():
            raise InputError("`positions` must have finite values, one was too large for a float")

    @classmethod
    def linear(
        cls,
        *,
        quantities: ArrayLike,
        prices: ArrayLike,
        multipliers: ArrayLike | None = None,
        instruments: Sequence[str] | None = None,
        base_currency: str = "USD",
    ) -> "Book":
        """Make a book of plain positions in one currency, one for each column of the return history.

        Parameters
        ----------
        quantities, prices, multipliers : array_like
            Shape (positions,); a missing `multipliers` is one for each.
        instruments : sequence of str, optional
            Names; "0", "1", ... where not given.

        Examples
        --------
        >>> Book.linear(quantities=[10, -5], prices=[100.0, 20.0]).values.tolist()
        [1000.0, -100.0]
        """
        amounts = {"quantities": np.atleast_1d(np.asarray(quantities, dtype=np.float64))}
        count = len(amounts["quantities"])
        amounts["prices"] = np.atleast_1d(np.asarray(prices, dtype=np.float64))
        given = np.ones(count) if multipliers is None else multipliers
        amounts["multipliers"] = np.atleast_1d(np.asarray(given, dtype=np.float64))
        names = [str(i) for i in range(count)] if instruments is None else list(map(str, instruments))
        shapes = {name: amount.shape for name, amount in amounts.items()} | {"instruments": (len(names),)}
        if set(shapes.values()) != {(count,)}:
            found = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
            raise InputError(f"`quantities` and the rest must be of one length, were of shape {found}")
        columns = [amount.tolist() for amount in amounts.values()]
        rows = zip(names, *columns, strict=True)
        return cls([Position(name, q, p, m, base_currency) for name, q, p, m in rows], base_currency)

    def once[Made](self, make: Callable[["Book"], Made]) -> Made:
        """Return what `make` makes of the book: whoever asks again gets the same object."""
        if make not in self._made:
            self._made[make] = make(self)
        found: Made = self._made[make]
        return found

    @cached_property
    def instruments(self) -> tuple[str, ...]:
        """Distinct instruments in the order of their first position: the columns of a return history.

        An option stands here with its underlying.
        """
        return tuple(dict.fromkeys(position.factor for position in self.positions))

    @cached_property
    def option_index(self) -> Index:
        """Which positions are options, shape (options,)."""
        return np.array([i for i, p in enumerate(self.positions) if p.option is not None], dtype=np.intp)

    @cached_property
    def values(self) -> Array:
        """Signed value of each position in the base currency, shape (positions,)."""
        values = [p.quantity * p.price * p.multiplier * self._xrate(p) for p in self.positions]
        return np.array(values, dtype=np.float64)

    @cached_property
    def option_columns(self) -> Mapping[str, Array]:
        """Terms and market of the options by the name that `black_scholes.price` gives them, each (options,)."""
        options = [position.option for position in self.positions if position.option is not None]
        columns = {name: [getattr(option, name) for option in options] for name in _COLUMNS}
        columns["kind"] = [option.sign for option in options]
        return {name: np.array(column, dtype=np.float64) for name, column in columns.items()}

    @cached_property
    def instrument_index(self) -> Index:
        """Column of each position's instrument, shape (positions,)."""
        column = {name: i for i, name in enumerate(self.instruments)}
        return np.array([column[p.factor] for p in self.positions], dtype=np.intp)

    @cached_property
    def exposures(self) -> Array:
        """Signed value by instrument without options, which do not move in proportion; shape (instruments,)."""
        values = self.values
        if len(self.option_index):
            values = values.copy()
            values[self.option_index] = 0.0
        return np.bincount(self.instrument_index, weights=values, minlength=len(self.instruments))

    @cached_property
    def units(self) -> Array:
        """Value in the base currency of a price of 1.00 of each position: quantity, multiplier, rate."""
        units = [p.quantity * p.multiplier * self._xrate(p) for p in self.positions]
        return np.array(units, dtype=np.float64)

    @property
    def value(self) -> float:
        """The net value."""
        return float(self.values.sum())

    def _xrate(self, position: Position) -> float:
        if position.currency == self.base_currency:
            return 1.0
        pair = f"`xrates` from {position.currency} to {self.base_currency} for {position.instrument}"
        rate = finite(self.xrates.get(position.currency), pair)
        if rate <= 0:
            raise InputError(f"{pair} must be positive, was {rate}")
        return rate
