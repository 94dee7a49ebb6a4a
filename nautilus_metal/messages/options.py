"""Sensitivities, stresses and hedges of a book."""

from nautilus_metal.host import Data, custom_data, message_topic

GREEKS_REPORT_TOPIC = message_topic("GreeksReport")
STRESS_REPORT_TOPIC = message_topic("StressReport")
HEDGE_REQUEST_TOPIC = message_topic("HedgeRequest")


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
