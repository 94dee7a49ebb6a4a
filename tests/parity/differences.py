"""Where a log of NautilusTrader v2 may differ from that of v1, and why: differences of the hosts, not of ours."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """A documented difference of the hosts.

    Attributes
    ----------
    log, kind, name : str
        Of the backtest, of its rows, and of the figure in them.
    largest : float
        What it comes to at most.
    why : str
        What the hosts do.
    """

    log: str
    kind: str
    name: str
    largest: float
    why: str


DIFFERENCES = (
    Difference("allocation", "account", "final_equity", 0.10, "each books cash in whole cents, rounded its own way"),
    Difference("allocation", "account", "profit", 0.10, "as for the equity"),
)
