"""What this package publishes on the message bus: custom data with Arrow schemas.

Each message goes through bytes, a dictionary, an Arrow table and a data catalog without losing a digit. Losses are
positive, money is in `base_currency`, levels are confidence levels (0.99) written as strings in dictionaries.
"""

from typing import Any

from nautilus_metal.errors import InputError
from nautilus_metal.host import Data, custom_data

RISK_REPORT_TOPIC = "data.RiskReport*"
RISK_BREACH_TOPIC = "data.RiskBreach*"
GREEKS_REPORT_TOPIC = "data.GreeksReport*"
RISK_STALE_TOPIC = "data.RiskStale*"
ENGINE_EVENT_TOPIC = "data.EngineEvent*"
DEVICE_CONDITIONS_TOPIC = "data.DeviceConditions*"
STRESS_REPORT_TOPIC = "data.StressReport*"
HEDGE_REQUEST_TOPIC = "data.HedgeRequest*"
ALLOCATION_TARGET_TOPIC = "data.AllocationTarget*"
FORECAST_TOPIC = "data.Forecast*"


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


@custom_data
class EngineEvent(Data):
    """The compute engine of a running system fell to the CPU, or has its device again.

    Parameters
    ----------
    ts_event, ts_init : int
        UNIX nanoseconds at which it was noticed.
    device : str
        The configured device.
    works_on : str
        The device of all work from now on.
    state : str
        "degraded" or "restored".
    reason : str
        What the device said, or that it gave no answer.
    """

    device: str
    works_on: str
    state: str
    reason: str


@custom_data
class DeviceConditions(Data):
    """Heat or memory pressure of the machine has changed, and what the placement of work makes of it.

    Parameters
    ----------
    ts_event, ts_init : int
        UNIX nanoseconds at which it was noticed.
    device : str
        The configured device.
    thermal : str
        "nominal", "fair", "serious", "critical", or "unknown" where no sensor says.
    memory : str
        "normal", "warning", "critical" or "unknown".
    mode : str
        "normal", "shrink" or "off", as in `nautilus_metal.engine.placement.MODES`.
    works_on : str
        The device of large work from now on, as long as it does not fail.
    reason : str
        In words.
    """

    device: str
    thermal: str
    memory: str
    mode: str
    works_on: str
    reason: str


@custom_data
class GreeksReport(Data):
    """Sensitivities of the positions held at one time, multipliers and exchange rates applied.

    The measures are `delta` (per 1.00 of the underlying's price), `cash_delta` (per 100% of it), `gamma` (of delta,
    per 1.00), `cash_gamma` (gamma times spot squared), `vega` (per 1.00 of volatility), `theta` (per year), `rho`
    (per 1.00 of the rate), `vanna` (of delta, per 1.00 of volatility) and `volga` (of vega).

    Parameters
    ----------
    ts_event, ts_init : int
        As in the `RiskReport` of the same moment.
    source : str
        The ID of the actor that made it.
    base_currency : str
        The currency of every amount.
    value : float
        The book's net value.
    totals : dict
        Each measure summed over the book; `delta`, `gamma` and `vanna` only mean something on one underlying.
    underlyings : dict
        By underlying: each measure summed over what moves with it.
    positions : dict
        By instrument: each measure; an option has `underlying`, `spot`, `expiry` (years), `volatility`,
        `volatility_source` and `volatility_age` (seconds) as well.
    uncovered : dict
        By instrument: why it is not in the figures.
    """

    source: str
    base_currency: str
    value: float
    totals: dict
    underlyings: dict
    positions: dict
    uncovered: dict


@custom_data
class StressReport(Data):
    """P&L of the positions held at one time under moves of the market, by full revaluation. A gain is positive.

    Parameters
    ----------
    ts_event, ts_init : int
        As in the `RiskReport` of the same moment.
    source : str
        The ID of the actor that made it.
    base_currency : str
        The currency of every amount.
    value : float
        The book's net value.
    stresses : dict
        By name: `profit`, and the moves `spot`, `volatility` (relative) and `days` that make it.
    grid : dict
        `spots`, `volatilities` (relative moves), `days`, and `profits` nested in that order; empty without a grid.
    uncovered : dict
        By instrument: why it is not in the figures.
    """

    source: str
    base_currency: str
    value: float
    stresses: dict
    grid: dict
    uncovered: dict


@custom_data
class HedgeRequest(Data):
    """What to trade so that a book's risk comes back to its target; `strategies.hedger.Hedger` executes it.

    Parameters
    ----------
    ts_event : int
        UNIX nanoseconds of the last price that the figures use.
    ts_init : int
        UNIX nanoseconds at which the request was made.
    source : str
        The ID of the actor that made it.
    target : str
        What is brought into bands ("delta", "delta_gamma_vega") or made least ("minimum_variance", "minimum_es").
    underlying : str
        The instrument whose risk is hedged.
    status : str
        "hedged" where `orders` reach the target, "infeasible" where they come as near as they may, "unneeded".
    reason : str
        In words.
    base_currency : str
        The currency of every amount.
    orders : dict
        By instrument: signed `quantity` to trade, whole lots; what the hedger `held` then; its `limit` or None;
        `price`, and `cost` of the trade.
    before, after : dict
        Before and after the orders, by exposure: standard deviation of the P&L from it in a typical period, signed;
        or the measure that is made least.
    risk_before, risk_after : float
        Of all exposures together, or that measure.
    cost : float
        Of all orders.
    uncovered : dict
        By instrument: why it is not in the figures.
    """

    source: str
    target: str
    underlying: str
    status: str
    reason: str
    base_currency: str
    orders: dict
    before: dict
    after: dict
    risk_before: float
    risk_after: float
    cost: float
    uncovered: dict


@custom_data
class AllocationTarget(Data):
    """The weights that a portfolio should have; `strategies.rebalancer.Rebalancer` trades towards them.

    Parameters
    ----------
    ts_event : int
        UNIX nanoseconds of the last bar that the figures use.
    ts_init : int
        UNIX nanoseconds at which the target was made.
    source : str
        The ID of the actor that made it.
    objective : str
        What the weights are best by, as in `nautilus_metal.risk.allocation.OBJECTIVES`, or "equal_weight".
    status : str
        "optimal"; "inaccurate" where the certificate misses its tolerance; "infeasible" with no weights.
    reason : str
        In words, where the status is not "optimal".
    weights : dict
        By instrument: its share of the capital; negative for a short position.
    value : float or None
        The objective at the weights.
    gap : float or None
        It lies no further than this from the optimum.
    residual : float or None
        The largest violation of a constraint.
    expected_return, volatility : float or None
        Of the weights, per period of the bars.
    scenarios : int
        Returns of history that the figures use.
    device : str
        That computed them.
    seed : int or None
        Of scenarios that were drawn; None where history itself is the sample.
    uncovered : dict
        By instrument: why it has no weight of its own.
    """

    source: str
    objective: str
    status: str
    reason: str
    weights: dict
    value: float
    gap: float
    residual: float
    expected_return: float
    volatility: float
    scenarios: int
    device: str
    seed: int
    uncovered: dict


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


MESSAGES: tuple[Any, ...] = (
    RiskReport,
    RiskBreach,
    RiskStale,
    EngineEvent,
    DeviceConditions,
    GreeksReport,
    StressReport,
    HedgeRequest,
    AllocationTarget,
    Forecast,
)
