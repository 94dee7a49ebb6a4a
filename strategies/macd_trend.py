"""Follow the trend: go with the MACD where line and histogram agree, leave when the histogram turns."""

from nautilus_metal.indicators import MetalMACD
from strategies.positions import SignalConfig, SignalStrategy, require


class MACDTrendConfig(SignalConfig, frozen=True, kw_only=True):
    """Settings of `MACDTrend`.

    Parameters
    ----------
    fast, slow, signal : int
        Bars of the MACD's three averages.
    """

    fast: int = 12
    slow: int = 26
    signal: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.fast >= 1, "fast", "at least 1 bar", self.fast)
        require(self.slow > self.fast, "slow", f"above `fast` ({self.fast})", self.slow)
        require(self.signal >= 1, "signal", "at least 1 bar", self.signal)


class MACDTrend(SignalStrategy):
    """Long while line and histogram are positive, short while both are negative, out when the histogram turns."""

    def make_indicator(self) -> MetalMACD:
        """Make one instrument's MACD."""
        return MetalMACD(self.config.fast, self.config.slow, self.config.signal)

    def direction(self, indicator: MetalMACD, held: int) -> int:
        """Return where to be for the MACD's line and histogram."""
        line, histogram = indicator.value, indicator.histogram
        if line > 0.0 and histogram > 0.0:
            return 1
        if line < 0.0 and histogram < 0.0:
            return -1
        if held * histogram < 0.0:
            return 0
        return held
