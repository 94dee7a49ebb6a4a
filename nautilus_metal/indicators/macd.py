"""Moving average convergence divergence as an indicator of the host."""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.host import Bar, MovingAverageConvergenceDivergence
from nautilus_metal.indicators.base import ERRORS, MetalIndicator, State
from nautilus_metal.indicators.conventions import NAUTILUS_V1, STANDARD, average_of, before_first, convention_of
from nautilus_metal.indicators.histories import Array, macd_history, macd_history_v1, stepped
from nautilus_metal.kernels.averages import MOVING_AVERAGES
from nautilus_metal.kernels.macd import MacdState, MacdValues
from nautilus_metal.kernels.parameters import finite, macd_bars, price_array

Periods = tuple[int, int, int]


class BuiltInMacd:
    """The host's own line, and an EMA of it as the signal, which starts with the first value of the line."""

    __slots__ = ("_line", "_rate", "_signal", "_started")

    def __init__(self, periods: Periods, average: Any) -> None:
        fast, slow, signal = periods
        self._line = MovingAverageConvergenceDivergence(fast, slow, average)
        self._rate = 2.0 / (signal + 1.0)
        self._started = False
        self._signal = 0.0

    def update_raw(self, price: float) -> tuple[float, float]:
        self._line.update_raw(price)
        value = self._line.value
        if self._started:
            self._signal += self._rate * (value - self._signal)
        else:
            self._signal = value
            self._started = True
        return value, self._signal

    @property
    def initialized(self) -> bool:
        return self._line.initialized


class _Convention(NamedTuple):
    state: Callable[[Periods, Any], State]
    history: Callable[[Array, Periods, Any, ComputeEngine | None], MacdValues]


def _built_in_history(history: Array, periods: Periods, average: Any, engine: ComputeEngine | None) -> MacdValues:
    finite(history)
    if average.name in MOVING_AVERAGES:
        return macd_history_v1(history, *periods, average.name, engine)
    value, signal = stepped(lambda: BuiltInMacd(periods, average), 2, history)
    return MacdValues(value, signal, value - signal)


CONVENTIONS = {
    STANDARD: _Convention(
        lambda periods, _: MacdState(*periods),
        lambda history, periods, _, engine: macd_history(history, periods, engine),
    ),
    NAUTILUS_V1: _Convention(BuiltInMacd, _built_in_history),
}


class MetalMACD(MetalIndicator):
    """Moving average convergence divergence, with its signal line.

    Parameters
    ----------
    fast, slow, signal : int, default 12, 26 and 9
        Periods in bars, at least 1, ``fast < slow``.
    convention : {"standard", "nautilus_v1"}, default "standard"
        "standard" gives TA-Lib's numbers (EMAs seeded with simple means); "nautilus_v1" the line of the host's
        `MovingAverageConvergenceDivergence` and its initialization, with an EMA of the line as the signal.
    ma_type : MovingAverageType or str, optional
        Averages of the line in "nautilus_v1", exponential by default.
    price_type : PriceType or str, optional
        Price of a quote tick, the mid by default. (The built-in class defaults to LAST, which no quote has, and
        raises; so does this one where LAST is asked for.)
    fast_period, slow_period : int, optional
        The built-in class's names of `fast` and `slow`.

    Attributes
    ----------
    value, signal, histogram : float
        Line, signal line and their difference, in the units of the price; in "standard" NaN before
        initialization, which is the first bar at which all three exist.

    Raises
    ------
    InputError
        If a parameter is not as above.
    """

    __slots__ = (
        "_average", "_convention", "_periods", "convention", "fast_period", "signal", "signal_period", "slow_period",
        "value",
    )  # fmt: skip

    def __init__(
        self,
        fast: int = 12,
        slow: int = 26,
        signal: int = 9,
        convention: str = STANDARD,
        *,
        ma_type: Any = None,
        price_type: Any = None,
        fast_period: int | None = None,
        slow_period: int | None = None,
    ) -> None:
        fast = fast if fast_period is None else fast_period
        slow = slow if slow_period is None else slow_period
        self._periods = macd_bars(fast, slow, signal)
        self.fast_period, self.slow_period, self.signal_period = self._periods
        self._convention = convention_of(CONVENTIONS, convention)
        self._average = average_of(convention, ma_type, "EXPONENTIAL", self.fast_period)
        self.convention = convention
        params = [*self._periods, convention] + ([] if self._average is None else [self._average.name])
        super().__init__(params, lambda: self._convention.state(self._periods, self._average), price_type)

    @property
    def histogram(self) -> float:
        return self.value - self.signal

    def compute(self, prices: Any, engine: ComputeEngine | None = None) -> MacdValues:
        """Compute line, signal and histogram over whole histories on the engine; the state is not touched.

        Parameters
        ----------
        prices : array_like
            Shape (bars,) or (series, bars), finite.
        engine : ComputeEngine, optional
            The process's shared engine by default.

        Returns
        -------
        MacdValues
            Three float64 arrays of the shape of `prices`, NaN before the first value.

        Raises
        ------
        InputError
            If a value is NaN or infinite, or the shape is another one.
        """
        return self._convention.history(price_array(prices), self._periods, self._average, engine)

    def _take_bars(self) -> Generator[None, Bar, None]:
        try:
            while True:
                bar = yield
                self.value, self.signal = self._update(bar.close.as_double())
                if self._warming:
                    self._note_progress()
        except ERRORS:
            self._listen()
            raise

    def _take(self, price: float) -> None:
        self.value, self.signal = self._update(price)
        if self._warming:
            self._note_progress()

    def _show_nothing(self) -> None:
        self.value = self.signal = before_first(self.convention)
