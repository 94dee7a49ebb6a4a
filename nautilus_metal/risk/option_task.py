"""A book with options made ready for the device, in float64 on the host."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.option_scenarios import OptionTerms
from nautilus_metal.risk.book import Array, Book, Index
from nautilus_metal.risk.greeks import book_greeks, option_market
from nautilus_metal.risk.request import Request, Scenarios
from nautilus_metal.risk.volatility_law import VolatilityLaw


@dataclass(frozen=True)
class OptionTask:
    """What is evaluated: a book, fitted scenarios of returns, the law of volatility.

    Attributes
    ----------
    book : Book
        With at least one option.
    scenarios : Scenarios
        The fitted model of the returns of `book.instruments`.
    request : Request
        What was asked for.
    levels : tuple of float
        Confidence levels.
    law : VolatilityLaw
        How implied volatilities move.
    window : Tensor
        The history that the law may be estimated from, shape (instruments, periods).
    years : float
        The horizon.
    """

    book: Book
    scenarios: Scenarios
    request: Request
    levels: tuple[float, ...]
    law: VolatilityLaw
    window: Tensor
    years: float

    @cached_property
    def rows(self) -> Index:
        """Row of each option's underlying among `book.instruments`, shape (options,)."""
        return self.book.instrument_index[self.book.option_index]

    @cached_property
    def volatility_rows(self) -> tuple[Index, Index]:
        """Distinct rows among `rows`, and the place of each option's among them."""
        distinct, place = np.unique(self.rows, return_inverse=True)
        return distinct, place

    @cached_property
    def volatility_law(self) -> tuple[Array, Array]:
        """Volatility of volatility and its correlation with the spot, by `volatility_rows`."""
        distinct = self.volatility_rows[0]
        names = [self.book.instruments[row] for row in distinct]
        return self.law.fit(names, self.window.numpy()[distinct])

    @property
    def noisy(self) -> bool:
        """Whether volatilities move at all."""
        return bool(self.volatility_law[0].any())

    @cached_property
    def volatility_factors(self) -> Array:
        """Slope, centre and spread of `JointScenarios`, shape (3, volatilities)."""
        deviation, correlation = self.volatility_law
        scale = deviation * math.sqrt(self.request.horizon)
        centre, spread = _moments(self.scenarios, self.volatility_rows[0])
        moving = spread > 0
        slope = np.divide(scale * correlation, spread, out=np.zeros_like(spread), where=moving)
        return np.stack([slope, centre, scale * np.sqrt(1 - correlation**2)])

    @cached_property
    def market(self) -> dict[str, Tensor]:
        """Of the options, as `black_scholes.price` takes it."""
        return option_market(self.book)

    @cached_property
    def left(self) -> Tensor:
        """Years to expiry at the horizon, shape (options,)."""
        return (self.market["expiry"] - self.years).clamp(min=0.0)

    @cached_property
    def terms(self) -> OptionTerms:
        """The options at the horizon."""
        market, actual = self.market, self.market["kind"]
        moneyness = (market["spot"] / market["strike"]).log()
        moneyness += (market["rate"] - market["dividend_yield"]) * self.left
        sign = torch.where(moneyness > 0, -1.0, 1.0).to(torch.float64)
        strike = (-moneyness).exp()
        today = black_scholes.price(**market) / torch.from_numpy(self.unit_notionals)
        return OptionTerms(
            moneyness=moneyness,
            strike=strike,
            total_volatility=market["volatility"] * self.left.sqrt(),
            sign=sign,
            base=today - 0.5 * (actual - sign) * (1.0 - strike),
            row=torch.from_numpy(self.rows),
            volatility_row=torch.from_numpy(self.volatility_rows[1]),
        )

    @cached_property
    def unit_notionals(self) -> Array:
        """Discounted spot of each option, in its currency, shape (options,)."""
        return (self.market["spot"] * (-self.market["dividend_yield"] * self.left).exp()).numpy()

    @cached_property
    def notionals(self) -> Array:
        """Base currency for each unit of `option_changes`, shape (options,)."""
        return self.book.units[self.book.option_index] * self.unit_notionals

    @cached_property
    def forwards(self) -> Array:
        """By option: +1, -1 or 0 forwards that parity adds to the out-of-the-money option, shape (options,)."""
        return 0.5 * (self.market["kind"] - self.terms.sign).numpy()

    @cached_property
    def exposures(self) -> Array:
        """Signed value of plain positions and of the options' forwards by instrument, shape (instruments,)."""
        forwards = np.bincount(self.rows, self.notionals * self.forwards, minlength=len(self.book.instruments))
        return self.book.exposures + forwards

    @cached_property
    def unit(self) -> float:
        """A power of two near the largest amount: in units of it, losses fit any floating-point type."""
        largest = max(np.abs(self.exposures).max(), np.abs(self.notionals).max())
        return 2.0 ** math.frexp(float(largest))[1]

    @cached_property
    def expansion(self) -> tuple[Array, Array, Array, float]:
        """Delta-gamma coefficients in the base currency.

        By instrument: of the relative price change and of its square; by `volatility_rows`: of the relative change of
        volatility; and the passing of time.
        """
        greeks, index, count = book_greeks(self.book), self.book.instrument_index, len(self.book.instruments)
        vega = greeks.vega[self.book.option_index] * self.market["volatility"].numpy()
        linear: Array = np.bincount(index, greeks.cash_delta, minlength=count)
        square: Array = np.bincount(index, 0.5 * greeks.cash_gamma, minlength=count)
        moved: Array = np.bincount(self.volatility_rows[1], vega, minlength=len(self.volatility_rows[0]))
        return linear, square, moved, greeks.total["theta"] * self.years

    @cached_property
    def parts(self) -> list[Tensor]:
        """Floating-point arrays, in the order in which `option_tables.make_tables` reads them."""
        *by_row, passing = self.expansion
        scaled = [torch.from_numpy(amount) / self.unit for amount in (self.notionals, self.exposures, *by_row)]
        decay = torch.tensor([passing / self.unit], dtype=torch.float64)
        return [*self.terms[:5], *scaled, *torch.from_numpy(self.volatility_factors), decay]

    @cached_property
    def index(self) -> Tensor:
        """Rows of the options' underlyings, places of their volatilities, and the rows that these belong to."""
        return torch.cat([self.terms.row, self.terms.volatility_row, torch.from_numpy(self.volatility_rows[0])])


def _moments(scenarios: Scenarios, rows: Index) -> tuple[Array, Array]:
    """Mean and standard deviation of the returns of `rows` in the scenarios: known where drawn, else counted."""
    loading, shift = scenarios.loading.numpy()[rows], scenarios.shift.numpy()[rows]
    if scenarios.empirical is None:
        return shift, np.abs(loading) if loading.ndim == 1 else np.linalg.norm(loading, axis=1)
    factors = scenarios.empirical.numpy()
    returns = loading[:, None] * factors[rows] if loading.ndim == 1 else loading @ factors
    return returns.mean(axis=1) + shift, returns.std(axis=1)
