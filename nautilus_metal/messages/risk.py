"""The risk of the positions held: figures, crossings of limits, and whether they still stand."""

from nautilus_metal.errors import InputError
from nautilus_metal.host import Data, custom_data, message_topic

RISK_REPORT_TOPIC = message_topic("RiskReport")
RISK_BREACH_TOPIC = message_topic("RiskBreach")
RISK_STALE_TOPIC = message_topic("RiskStale")


def level_key(level: float) -> str:
    """Write a confidence level the way that the messages' dictionaries spell it.

    >>> level_key(0.99), level_key(0.975)
    ('0.99', '0.975')
    """
    return format(level, "g")


@custom_data
class RiskReport(Data):
    """Value at risk and expected shortfall of the positions held at one time.

    Parameters
    ----------
    ts_event : int
        UNIX nanoseconds of the last price that the figures use.
    ts_init : int
        UNIX nanoseconds at which the report was made.
    source : str
        The ID of the actor that made it.
    model : str
        The scenario model, as in `nautilus_metal.risk.MODELS`.
    sampler : str
        How scenarios were drawn: "pseudo", "sobol", or "empirical" where history itself is the sample.
    device : str
        The device that computed the figures.
    seed : int
        The seed of the scenario stream.
    scenarios : int
        The number of scenarios.
    horizon : int
        Periods ahead.
    base_currency : str
        The currency of every amount.
    value : float
        The book's net value.
    levels : dict
        `{"0.99": {"var": ..., "es": ..., "var_se": ..., "es_se": ...}, ...}`; `*_se` are standard errors. A book with
        options has `var_delta_gamma` and `es_delta_gamma` beside them, from second-order expansions on the same
        scenarios.
    positions : dict
        By instrument: signed `quantity`, `price`, signed `value`, and `component_var`, `component_es` by level. An
        option has `underlying`, `spot`, `expiry` (years), `volatility`, `volatility_source`, `volatility_age`
        (seconds) and `delta`, `gamma`, `vega`, `theta` as in `GreeksReport` as well.
    uncovered : dict
        By instrument: why it is not in the figures.
    worst_loss : float
        The largest loss of any scenario.
    drift : float
        The largest difference between the device's P&L and a float64 evaluation on a sample of scenarios, as a
        fraction of the P&L's standard deviation.
    milliseconds : float
        Wall time of the computation, synchronised.
    pool_hit_rate : float or None
        Share of keyed borrows that the memory pool has answered from its cache so far; None before the first.
    ts_snapshot : int
        UNIX nanoseconds at which positions and prices were read.
    age : float or None
        Seconds from the oldest price in the figures to `ts_init`; None for a book without positions.
    skipped : int
        Requests since the last report that got none of their own, because a newer snapshot took their place.
    """

    source: str
    model: str
    sampler: str
    device: str
    seed: int
    scenarios: int
    horizon: int
    base_currency: str
    value: float
    levels: dict
    positions: dict
    uncovered: dict
    worst_loss: float
    drift: float
    milliseconds: float
    pool_hit_rate: float
    ts_snapshot: int
    age: float
    skipped: int

    def var(self, level: float) -> float:
        """Return the value at risk at `level`, a positive loss."""
        return self._figure("var", level)

    def es(self, level: float) -> float:
        """Return the expected shortfall at `level`, a positive loss."""
        return self._figure("es", level)

    def _figure(self, measure: str, level: float) -> float:
        try:
            return self.levels[level_key(level)][measure]
        except KeyError:
            raise InputError(
                f"`level` must be one of {', '.join(self.levels) or 'none (the report is empty)'}, was {level}"
            ) from None


@custom_data
class RiskBreach(Data):
    """A limit was crossed, or the figure came back under it.

    Parameters
    ----------
    ts_event, ts_init : int
        As in the report that crossed the limit.
    source : str
        The ID of the actor that watches the limit.
    model : str
        The scenario model of the figure.
    measure : str
        "var" or "es".
    level : float
        The confidence level.
    limit : float
        The limit, in the base currency.
    value : float
        The figure that crossed it.
    state : str
        "breach" on the way up, "clear" on the way back.
    """

    source: str
    model: str
    measure: str
    level: float
    limit: float
    value: float
    state: str


@custom_data
class RiskStale(Data):
    """The last report no longer stands for the risk of this moment, and a new one is late; or risk is known again.

    Parameters
    ----------
    ts_event : int
        UNIX nanoseconds at which the snapshot of the last good report was taken; 0 where there was none.
    ts_init : int
        UNIX nanoseconds at which this was noticed.
    source : str
        The ID of the RiskActor.
    state : str
        "stale", or "fresh" where the next report has come.
    reason : str
        "deadline" (a tick takes longer than it may), "error" (a tick failed), "silence" (no report was asked for in
        the time that one is good for), "prices" (a price in the figures is too old), or "report" with "fresh".
    detail : str
        In words.
    """

    source: str
    state: str
    reason: str
    detail: str
