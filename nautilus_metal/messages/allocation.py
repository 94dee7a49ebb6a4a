"""Target weights of a portfolio."""

from nautilus_metal.host import Data, custom_data, message_topic

ALLOCATION_TARGET_TOPIC = message_topic("AllocationTarget")


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
