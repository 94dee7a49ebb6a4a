"""The relative strength index as an indicator of the host."""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.host import Bar, RelativeStrengthIndex
from nautilus_metal.indicators.base import ERRORS, MetalIndicator, State
from nautilus_metal.indicators.conventions import NAUTILUS_V1, STANDARD, average_of, before_first, convention_of
from nautilus_metal.indicators.histories import Array, rsi_history, rsi_history_v1, stepped
from nautilus_metal.kernels.averages import MOVING_AVERAGES
from nautilus_metal.kernels.parameters import finite, price_array, whole_bars
from nautilus_metal.kernels.rsi import RsiState


class _Convention(NamedTuple):
    scale: float  # the largest value, where thresholds are on 0 to 100
    state: Callable[[int, Any], State]
    history: Callable[[Array, int, Any, ComputeEngine | None], Array]


class BuiltInRsi:
    """The host's own index."""

    __slots__ = ("_index",)

    def __init__(self, period: int, average: Any) -> None:
        self._index = RelativeStrengthIndex(period, average)

    def update_raw(self, price: float) -> float:
        self._index.update_raw(price)
        return self._index.value

    @property
    def initialized(self) -> bool:
        return self._index.initialized


def _built_in_history(history: Array, period: int, average: Any, engine: ComputeEngine | None) -> Array:
    finite(history)
    if average.name in MOVING_AVERAGES:
        return rsi_history_v1(history, period, average.name, engine)
    return stepped(lambda: BuiltInRsi(period, average), 1, history)[0]


CONVENTIONS = {
    STANDARD: _Convention(
        100.0,
        lambda period, _: RsiState(period),
        lambda history, period, _, engine: rsi_history(history, period, engine),
    ),
    NAUTILUS_V1: _Convention(1.0, BuiltInRsi, _built_in_history),
}


class MetalRSI(MetalIndicator):
    """Relative strength index.

    Parameters
    ----------
    period : int, default 14
        Bars of smoothing, at least 1.
    convention : {"standard", "nautilus_v1"}, default "standard"
        "standard" gives TA-Lib's numbers, 0 to 100; "nautilus_v1" those of the host's `RelativeStrengthIndex`,
        0 to 1, its values before initialization included.
    overbought, oversold : float, default 70 and 30
        Thresholds of `zone` on the 0 to 100 scale, in both conventions.
    ma_type : MovingAverageType or str, optional
        Average of gains and losses in "nautilus_v1", exponential by default.
    price_type : PriceType or str, optional
        Price of a quote tick, the mid by default.

    Attributes
    ----------
    value : float
        The index; in "standard" NaN before initialization.
    zone : str or None
        "overbought" at or above its threshold, "oversold" at or below its own, else "neutral"; None before
        initialization.

    Raises
    ------
    InputError
        If a parameter is not as above.
    """

    __slots__ = ("_average", "_convention", "convention", "overbought", "oversold", "period", "value")

    def __init__(
        self,
        period: int = 14,
        convention: str = STANDARD,
        overbought: float = 70.0,
        oversold: float = 30.0,
        *,
        ma_type: Any = None,
        price_type: Any = None,
    ) -> None:
        self.period = whole_bars("period", period)
        self._convention = convention_of(CONVENTIONS, convention)
        self._average = average_of(convention, ma_type, "EXPONENTIAL", self.period)
        self.convention = convention
        self.overbought, self.oversold = _checked_thresholds(overbought, oversold)
        params = [self.period, convention] + ([] if self._average is None else [self._average.name])
        super().__init__(params, lambda: self._convention.state(self.period, self._average), price_type)

    @property
    def zone(self) -> str | None:
        if not self.initialized:
            return None
        scale = self._convention.scale / 100.0
        return zone(self.value, self.overbought * scale, self.oversold * scale)

    def compute(self, prices: Any, engine: ComputeEngine | None = None) -> NDArray[np.float64]:
        """Compute the index over whole histories on the engine; the indicator's own state is not touched.

        Parameters
        ----------
        prices : array_like
            Shape (bars,) or (series, bars), finite.
        engine : ComputeEngine, optional
            The process's shared engine by default.

        Returns
        -------
        numpy.ndarray
            float64 of the shape of `prices`, NaN before the first value.

        Raises
        ------
        InputError
            If a value is NaN or infinite, or the shape is another one.
        """
        return self._convention.history(price_array(prices), self.period, self._average, engine)

    def _take_bars(self) -> Generator[None, Bar, None]:
        try:
            while True:
                bar = yield
                self.value = self._update(bar.close.as_double())
                if self._warming:
                    self._note_progress()
        except ERRORS:
            self._listen()
            raise

    def _take(self, price: float) -> None:
        self.value = self._update(price)
        if self._warming:
            self._note_progress()

    def _show_nothing(self) -> None:
        self.value = before_first(self.convention)


def zone(value: float, overbought: float, oversold: float) -> str:
    """Name the zone of an index: "overbought", "oversold", their thresholds included, or "neutral"."""
    if value >= overbought:
        return "overbought"
    return "oversold" if value <= oversold else "neutral"


def _checked_thresholds(overbought: Any, oversold: Any) -> tuple[float, float]:
    high, low = float(overbought), float(oversold)
    if not 0.0 <= low < high <= 100.0:
        raise InputError(
            f"`oversold` and `overbought` must be rising within 0 to 100, were {oversold!r} and {overbought!r}"
        )
    return high, low
