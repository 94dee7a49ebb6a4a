"""Go with a network's forecast where the trend agrees: long, short or flat by the `Forecast` that it hears."""

from math import isfinite
from typing import Any

from nautilus_metal.indicators import MetalMACD
from nautilus_metal.messages import FORECAST_TOPIC, Forecast
from strategies.positions import PositionConfig, PositionStrategy, Slot, require

NANOSECONDS_PER_DAY = 86_400_000_000_000


class ForecastTrendConfig(PositionConfig, frozen=True, kw_only=True):
    """Settings of `ForecastTrend`.

    Parameters
    ----------
    source : str, optional
        Listen only to forecasts of this actor.
    enter : float
        A position is opened where the forecast is beyond this many standard deviations of past returns.
    fast, slow : int
        Bars of the two averages whose difference (the MACD's line) is the trend.
    max_age_days : float
        A position whose instrument has had no forecast for longer is closed.
    allow_short : bool
        Take short positions; otherwise a short forecast means flat.
    """

    source: str | None = None
    enter: float = 0.05
    fast: int = 20
    slow: int = 100
    max_age_days: float = 7.0
    allow_short: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(isfinite(self.enter) and self.enter >= 0.0, "enter", "finite and at least 0", self.enter)
        require(self.fast >= 1, "fast", "at least 1 bar", self.fast)
        require(self.slow > self.fast, "slow", f"above `fast` ({self.fast})", self.slow)
        require(self.max_age_days > 0.0, "max_age_days", "above 0 days", self.max_age_days)


class ForecastTrend(PositionStrategy):
    """Long where forecast and trend point up, short where both point down, out when the forecast's sign turns.

    An instrument that a forecast lists as uncovered is left, as is one that no forecast has named for too long.
    """

    def __init__(self, config: ForecastTrendConfig) -> None:
        super().__init__(config)
        self.forecasts_used = 0
        self._heard: dict[str, int] = {}

    def make_indicator(self) -> MetalMACD:
        """Make the trend of one instrument: the difference of two averages."""
        return MetalMACD(self.config.fast, self.config.slow, 1)

    def on_start(self) -> None:
        """Subscribe to bars and to forecasts."""
        super().on_start()
        self.msgbus.subscribe(FORECAST_TOPIC, self.on_forecast)

    def on_stop(self) -> None:
        """Stop listening to forecasts, then as the base does."""
        self.msgbus.unsubscribe(FORECAST_TOPIC, self.on_forecast)
        super().on_stop()

    def on_reset(self) -> None:
        """Forget everything heard."""
        super().on_reset()
        self.forecasts_used = 0
        self._heard.clear()

    def on_bar(self, bar: Any) -> None:
        """Close a position that no forecast stands behind any more; all else waits for a forecast."""
        slot = self.slots[bar.bar_type]
        heard = self._heard.get(str(slot.instrument.id), 0)
        if slot.quantity != 0.0 and bar.ts_event - heard > self.config.max_age_days * NANOSECONDS_PER_DAY:
            self.move(slot, 0.0, "no-forecast")

    def on_forecast(self, forecast: Forecast) -> None:
        """Move every instrument of the forecast to its side."""
        if self.config.source and forecast.source != self.config.source:
            return
        self.forecasts_used += 1
        for slot in self.slots.values():
            name = str(slot.instrument.id)
            if name in forecast.uncovered and slot.quantity != 0.0:
                self.move(slot, 0.0, "uncovered")
            elif name in forecast.forecasts:
                self._heard[name] = forecast.ts_event
                self._follow(slot, forecast.forecasts[name])

    def _follow(self, slot: Slot, row: dict[str, float]) -> None:
        held = (slot.quantity > 0.0) - (slot.quantity < 0.0)
        side = self._side(slot, row["value"] / row["volatility"] if row["volatility"] > 0.0 else 0.0, held)
        if side != held:
            size = self.quantity_for(slot, self.config.notional, row["price"]) if side else 0.0
            self.move(slot, side * size, ("short", "flat", "long")[side + 1])

    def _side(self, slot: Slot, strength: float, held: int) -> int:
        """Return where to be (1, 0, -1) for a forecast in standard deviations; what is no number means flat."""
        if not isfinite(strength) or not slot.indicator.initialized:
            return 0
        trend = slot.indicator.value
        if strength > self.config.enter and trend > 0.0:
            return 1
        if strength < -self.config.enter and trend < 0.0 and self.config.allow_short:
            return -1
        return held if held * strength > 0.0 else 0
