"""Buy what is oversold, sell what is overbought, leave in the middle: mean reversion on the RSI."""

from nautilus_metal.indicators import MetalRSI
from strategies.positions import SignalConfig, SignalStrategy, require


class RSIReversionConfig(SignalConfig, frozen=True, kw_only=True):
    """Settings of `RSIReversion`.

    Parameters
    ----------
    period : int
        Bars of the RSI (Wilder).
    oversold, overbought : float
        RSI under which to be long and over which to be short.
    middle : float
        RSI at which a position is closed.
    """

    period: int = 14
    oversold: float = 30.0
    overbought: float = 70.0
    middle: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.period >= 1, "period", "at least 1 bar", self.period)
        bounds = (self.oversold, self.middle, self.overbought)
        ordered = 0.0 <= self.oversold < self.middle < self.overbought <= 100.0
        require(ordered, "oversold, middle, overbought", "ascending within 0 to 100", bounds)


class RSIReversion(SignalStrategy):
    """Long under `oversold`, short over `overbought`, out at `middle`."""

    def __init__(self, config: RSIReversionConfig) -> None:
        super().__init__(config)
        self._bounds = (config.oversold, config.middle, config.overbought)

    def make_indicator(self) -> MetalRSI:
        """Make one instrument's RSI."""
        config = self.config
        return MetalRSI(config.period, overbought=config.overbought, oversold=config.oversold)

    def direction(self, indicator: MetalRSI, held: int) -> int:
        """Return where to be for the RSI's value; exactly 0 is what a price that never rose or moved has."""
        oversold, middle, overbought = self._bounds
        value = indicator.value
        if value == 0.0:
            return held
        if value < oversold:
            return 1
        if value > overbought:
            return -1
        if (held > 0 and value >= middle) or (held < 0 and value <= middle):
            return 0
        return held
