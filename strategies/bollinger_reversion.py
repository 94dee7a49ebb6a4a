"""Fade the excursion: buy under the lower Bollinger band, sell over the upper one, leave at the average."""

from math import isfinite

from nautilus_metal.indicators import MetalBollingerBands
from strategies.positions import SignalConfig, SignalStrategy, require


class BollingerReversionConfig(SignalConfig, frozen=True, kw_only=True):
    """Settings of `BollingerReversion`.

    Parameters
    ----------
    period : int
        Bars of the average and its deviation.
    k : float
        Width of the bands in standard deviations.
    """

    period: int = 20
    k: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.period >= 2, "period", "at least 2 bars", self.period)
        require(isfinite(self.k) and self.k > 0.0, "k", "finite and above 0", self.k)


class BollingerReversion(SignalStrategy):
    """Long under the lower band, short over the upper one, out where the price is back at the average."""

    def make_indicator(self) -> MetalBollingerBands:
        """Make one instrument's bands."""
        return MetalBollingerBands(self.config.period, self.config.k)

    def direction(self, indicator: MetalBollingerBands, held: int) -> int:
        """Return where to be for the price's place between the bands (0 lower, 1 upper).

        With no width (a price that has not moved in `period` bars) there is no signal.
        """
        place = indicator.percent_b
        if not indicator.upper > indicator.lower:
            return held
        if place < 0.0:
            return 1
        if place > 1.0:
            return -1
        if (held > 0 and place >= 0.5) or (held < 0 and place <= 0.5):
            return 0
        return held
