"""What networks expect."""

from nautilus_metal.host import Data, custom_data, message_topic

FORECAST_TOPIC = message_topic("Forecast")


@custom_data
class Forecast(Data):
    """What a network expects of the instruments whose bars closed at one time.

    Parameters
    ----------
    ts_event : int
        UNIX nanoseconds of the last close that the forecasts are made at.
    ts_init : int
        UNIX nanoseconds at which they were made.
    source : str
        The ID of the actor that made them.
    model : str
        The kind of network.
    checkpoint : str
        The first 16 digits of the SHA-256 of the file that it came from.
    device : str or None
        The device of the inference; None where nothing was covered, and there was none.
    horizon : int
        Bars ahead.
    forecasts : dict
        By instrument: `value` (the log return expected over the horizon), `volatility` (the standard deviation of
        past returns over as long, known at the close), `price` (the close) and `closed_at` (UNIX nanoseconds).
    uncovered : dict
        By instrument: why there is none.
    milliseconds : float or None
        Wall time of the one inference for all of them, synchronised; None where there was none.
    """

    source: str
    model: str
    checkpoint: str
    device: str
    horizon: int
    forecasts: dict
    uncovered: dict
    milliseconds: float
