"""What a RiskGate says on the message bus."""

from nautilus_metal.host import Data, custom_data, message_topic

GATE_DECISION_TOPIC = message_topic("GateDecision")


@custom_data
class GateDecision(Data):
    """An order was denied or trimmed by a RiskGate; what passes is not announced.

    Parameters
    ----------
    ts_event, ts_init : int
        UNIX nanoseconds.
    source : str
        The ID of the gate.
    strategy, order_id, instrument : str
        Whose order, the client order ID (of a list, of its first order that counts), and of what.
    action : str
        "deny" or "trim".
    reason : str
        As in the `OrderDenied` or `OrderModifyRejected` that the strategy sees.
    quantity : float
        Asked for, signed; of a modification what it adds; of a list all that counts in the instrument.
    allowed : float or None
        The part of it, whole lots, that keeps the limits now; None where that is not known.
    measure : str
        "var" or "es" where a limit is the reason, else empty.
    level, limit, value : float or None
        Of that limit, and what the figure would be.
    """

    source: str
    strategy: str
    order_id: str
    instrument: str
    action: str
    reason: str
    quantity: float
    allowed: float
    measure: str
    level: float
    limit: float
    value: float
