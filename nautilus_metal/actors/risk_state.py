"""A RiskActor's memory as bytes: after a restart its reports are those that it would have made without one.

The models' filters are run over the return window at every tick, and the scenario stream is a pure function of its
seed, so that the window, what is known of options, and the limits' states are all there is to keep.
"""

from dataclasses import dataclass
from typing import Any

from nautilus_metal.actors.saved_state import Envelope
from nautilus_metal.risk.book import Array

_ENVELOPE = Envelope("RiskActor", b"NMRA", 1)


@dataclass(frozen=True)
class RiskState:
    """What is kept.

    Attributes
    ----------
    window : dict of str to ndarray
        From `ReturnWindow.state`.
    memory : dict
        Plain values: `bar_specification`, `model`, `seed`, `closed_at`, `priced_at`, `broken` limits, `options`.
    """

    window: dict[str, Array]
    memory: dict[str, Any]


def pack(state: RiskState) -> bytes:
    """Write a state; see `Envelope.pack`."""
    return _ENVELOPE.pack(state.window, state.memory)


def unpack(data: bytes) -> RiskState:
    """Read what `pack` wrote.

    Raises
    ------
    InputError
        If the bytes are not a RiskActor's state, of another version, or damaged.
    """
    return RiskState(*_ENVELOPE.unpack(data))
