"""One instrument's indicator in a universe, as an Indicator of the host."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nautilus_metal.host import Bar, Indicator, QuoteTick, TradeTick
from nautilus_metal.indicators.rsi import zone

if TYPE_CHECKING:
    from nautilus_metal.indicators.universe import IndicatorUniverse


class SeriesView(Indicator):
    """What `IndicatorUniverse.view` returns; it holds no numbers of its own.

    Parameters
    ----------
    universe : IndicatorUniverse
        Where the numbers are.
    instrument_id, name : str
        What is shown.
    row : int
        The instrument's place in the universe.
    state : RsiSeries, MacdSeries or BollingerSeries
        The indicator's streaming state.
    """

    def __init__(self, universe: "IndicatorUniverse", instrument_id: str, name: str, row: int, state: Any) -> None:
        super().__init__([instrument_id, name])
        self.instrument_id = instrument_id
        self.shows = name
        self._universe = universe
        self.row = row
        self._index = np.array([row])
        self._state = state

    def handle_bar(self, bar: Bar) -> None:
        """Feed the universe with the close of `bar`, unless it has it."""
        self._universe._feed_bar(self.row, bar)

    def handle_quote_tick(self, tick: QuoteTick) -> None:
        """Feed the universe with the mid of `tick`, unless it has it."""
        mid = (tick.bid_price.as_double() + tick.ask_price.as_double()) / 2.0
        self._universe._feed_tick(self.row, tick, mid)

    def handle_trade_tick(self, tick: TradeTick) -> None:
        """Feed the universe with the price of `tick`, unless it has it."""
        self._universe._feed_tick(self.row, tick, tick.price.as_double())

    def follow(self) -> bool:
        """Tell the host how far the series has come; return whether it is initialized."""
        if not self.initialized:
            count = self._universe._counted(self.row, self._state)
            if count:
                self._set_has_inputs(True)
            if count >= self._state.needed:
                self._set_initialized(True)
        return bool(self.initialized)

    def _reset(self) -> None:
        self._universe._forget(self, self._state)

    def _outputs(self) -> Any:
        self._universe.flush()
        return self._state.values(self._index)


class RsiView(SeriesView):
    """The RSI of one instrument; the thresholds of its `zone` may be set."""

    overbought, oversold = 70.0, 30.0

    @property
    def value(self) -> float:
        return float(self._outputs()[0])

    @property
    def zone(self) -> str | None:
        return zone(self.value, self.overbought, self.oversold) if self.initialized else None


class MacdView(SeriesView):
    """The MACD of one instrument."""

    @property
    def value(self) -> float:
        return float(self._outputs().value[0])

    @property
    def signal(self) -> float:
        return float(self._outputs().signal[0])

    @property
    def histogram(self) -> float:
        return float(self._outputs().histogram[0])


class BollingerView(SeriesView):
    """The Bollinger bands of one instrument."""

    @property
    def upper(self) -> float:
        return float(self._outputs().upper[0])

    @property
    def middle(self) -> float:
        return float(self._outputs().middle[0])

    @property
    def lower(self) -> float:
        return float(self._outputs().lower[0])

    @property
    def bandwidth(self) -> float:
        return float(self._outputs().bandwidth[0])

    @property
    def percent_b(self) -> float:
        return float(self._outputs().percent_b[0])


VIEWS: dict[str, type[SeriesView]] = {"rsi": RsiView, "macd": MacdView, "bollinger": BollingerView}
