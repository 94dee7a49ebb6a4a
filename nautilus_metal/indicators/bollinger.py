"""Bollinger bands as an indicator of the host."""

from collections.abc import Callable, Generator
from math import isfinite, nan, sqrt
from typing import Any, NamedTuple

import numpy as np

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.host import Bar, QuoteTick, moving_average
from nautilus_metal.indicators.base import ERRORS, MetalIndicator, State
from nautilus_metal.indicators.conventions import NAUTILUS_V1, STANDARD, average_of, before_first, convention_of
from nautilus_metal.indicators.histories import Array, bollinger_history, bollinger_history_v1, stepped
from nautilus_metal.kernels.averages import MOVING_AVERAGES
from nautilus_metal.kernels.bollinger import BollingerValues, bollinger_bands
from nautilus_metal.kernels.parameters import band_width, price_array, price_history, whole_bars
from nautilus_metal.kernels.windows import WindowState

# Averages that are the plain mean of the window, which the window knows already.
_WINDOW_MEANS = ("SIMPLE", "WEIGHTED")


class BuiltInBands:
    """Centre and sigma of the built-in class: the host's moving average, and sigma around it, from the first bar."""

    __slots__ = ("_average", "_window")

    def __init__(self, period: int, average: Any) -> None:
        self._average = None if average.name in _WINDOW_MEANS else moving_average(period, average)
        self._window = WindowState(period)

    @property
    def initialized(self) -> bool:
        return self._window.initialized

    def update_raw(self, price: float) -> tuple[float, float, float]:
        mean, variance, deviation = self._window.update_raw(price)
        if self._average is None:
            return mean, variance, deviation
        self._average.update_raw(price)
        middle = self._average.value
        return middle, variance + (mean - middle) ** 2, deviation + (mean - middle)


class _Convention(NamedTuple):
    typical: bool  # whether a bar counts at its typical price, (high + low + close) / 3, or at its close
    state: Callable[[int, Any], State]
    history: Callable[[Array, int, float, Any, ComputeEngine | None], BollingerValues]


def _built_in_history(
    history: Array, period: int, k: float, average: Any, engine: ComputeEngine | None
) -> BollingerValues:
    if average.name in MOVING_AVERAGES:
        return bollinger_history_v1(history, period, k, average.name, engine)
    middle, variance, deviation = stepped(lambda: BuiltInBands(period, average), 3, history)
    return bollinger_bands(middle, np.sqrt(variance), deviation, k)


CONVENTIONS = {
    STANDARD: _Convention(
        False,
        lambda period, _: WindowState(period),
        lambda history, period, k, _, engine: bollinger_history(history, (period, k), engine),
    ),
    NAUTILUS_V1: _Convention(True, BuiltInBands, _built_in_history),
}


class MetalBollingerBands(MetalIndicator):
    """Bollinger bands.

    Parameters
    ----------
    period : int, default 20
        Window in bars, at least 1.
    k : float, default 2.0
        Reach of the bands in standard deviations, above 0.
    convention : {"standard", "nautilus_v1"}, default "standard"
        "standard" gives TA-Lib's numbers, on closes; "nautilus_v1" those of the host's `BollingerBands`, on typical
        prices (of a quote: of ask, bid and mid), its values before initialization included. Sigma is the
        population's in both.
    ma_type : MovingAverageType or str, optional
        The middle band in "nautilus_v1", simple by default.
    price_type : PriceType or str, optional
        Price of a quote tick, the mid by default.

    Attributes
    ----------
    upper, middle, lower : float
        Bands in the units of the price; before initialization NaN in "standard".
    bandwidth : float
        ``(upper - lower) / middle``, a fraction; NaN where the middle is 0.
    percent_b : float
        ``(price - lower) / (upper - lower)``, a fraction; NaN where the bands meet.

    Raises
    ------
    InputError
        If a parameter is not as above.
    """

    __slots__ = (
        "_average", "_convention", "_deviation", "_reach", "_typical", "convention", "k", "lower", "middle", "period",
        "upper",
    )  # fmt: skip

    def __init__(
        self,
        period: int = 20,
        k: float = 2.0,
        convention: str = STANDARD,
        *,
        ma_type: Any = None,
        price_type: Any = None,
    ) -> None:
        self.period = whole_bars("period", period)
        self.k = band_width(k)
        self._convention = convention_of(CONVENTIONS, convention)
        self._average = average_of(convention, ma_type, "SIMPLE", self.period)
        self.convention = convention
        self._typical = self._convention.typical
        params = [self.period, self.k, convention] + ([] if self._average is None else [self._average.name])
        super().__init__(params, lambda: self._convention.state(self.period, self._average), price_type)

    def handle_quote_tick(self, tick: QuoteTick) -> None:
        """Update with the mid of `tick`, or with its price of the `price_type` that was asked for."""
        if self._typical and self.price_type is None:
            bid, ask = tick.bid_price.as_double(), tick.ask_price.as_double()
            self._take(_typical(ask, bid, (ask + bid) / 2.0))
        else:
            super().handle_quote_tick(tick)

    def update_raw(self, high: float, low: float | None = None, close: float | None = None) -> None:
        """Update with one plain price, or with the high, low and close of a bar.

        NaN and infinities are skipped and counted in `rejected`. Of three prices "standard" takes the close.
        """
        if (low is None) != (close is None):
            raise InputError(f"`low` and `close` must come together, were {low!r} and {close!r}")
        if low is None or close is None:
            low = close = high
        parts = (float(high), float(low), float(close)) if self._typical else (float(close),)
        if all(map(isfinite, parts)):
            self._take(_typical(*parts) if self._typical else parts[0])
        else:
            self._reject(next(part for part in parts if not isfinite(part)))

    def warm_up(self, prices: Any) -> None:
        """Feed a history, oldest first; see `compute` for `prices`, here of one series."""
        super().warm_up(self._history(prices))

    def compute(self, prices: Any, engine: ComputeEngine | None = None) -> BollingerValues:
        """Compute the bands over whole histories on the engine; the indicator's own state is not touched.

        Parameters
        ----------
        prices : array_like, or tuple of three
            Closes of shape (bars,) or (series, bars), finite; or a tuple (high, low, close) of such arrays.
        engine : ComputeEngine, optional
            The process's shared engine by default.

        Returns
        -------
        BollingerValues
            Five float64 arrays of the shape of a price array, NaN before the first value.

        Raises
        ------
        InputError
            If a value is NaN or infinite, or a shape is another one.
        """
        return self._convention.history(self._history(prices), self.period, self.k, self._average, engine)

    def _history(self, prices: Any) -> Array:
        """Return the prices that the indicator works on: closes, not looked at yet, or typical prices."""
        if not (isinstance(prices, tuple) and len(prices) == 3 and all(hasattr(part, "__len__") for part in prices)):
            if not self._typical:
                return price_array(prices)
            closes = price_history(prices)
            return _typical(closes, closes, closes)
        high, low, close = map(price_history, prices, ("high", "low", "close"))
        if not high.shape == low.shape == close.shape:
            shapes = f"{high.shape}, {low.shape} and {close.shape}"
            raise InputError(f"`high`, `low` and `close` must be of one shape, were {shapes}")
        return _typical(high, low, close) if self._typical else close

    @property
    def bandwidth(self) -> float:
        return 2.0 * self._reach / self.middle if self.middle else nan

    @property
    def percent_b(self) -> float:
        return 0.5 + 0.5 * self._deviation / self._reach if self._reach else nan

    def _take_bars(self) -> Generator[None, Bar, None]:
        take, typical = self._take, self._typical
        try:
            while True:
                bar = yield
                if typical:
                    take(_typical(bar.high.as_double(), bar.low.as_double(), bar.close.as_double()))
                else:
                    take(bar.close.as_double())
        except ERRORS:
            self._listen()
            raise

    def _take(self, price: float) -> None:
        middle, variance, deviation = self._update(price)
        if self._warming:
            self._note_progress()
            if self._warming and self.convention == STANDARD:
                return
        reach = self.k * sqrt(variance)
        self.middle, self.upper, self.lower = middle, middle + reach, middle - reach
        self._reach, self._deviation = reach, deviation

    def _show_nothing(self) -> None:
        nothing = before_first(self.convention)
        self.middle = self.upper = self.lower = self._reach = self._deviation = nothing


def _typical(high: Any, low: Any, close: Any) -> Any:
    return (high + low + close) / 3.0
