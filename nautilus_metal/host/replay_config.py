"""How a `ReplayDataClient` plays its data: settings, refused at construction where they would fail later."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from nautilus_metal.errors import InputError
from nautilus_metal.host.replay_data import ReplayData
from nautilus_metal.host.replay_schedule import Faults
from nautilus_metal.host.version import MAJOR

if TYPE_CHECKING or MAJOR == 1:
    from nautilus_metal.host.v1_records import (
        BarType,
        InstrumentId,
        LiveDataClientConfig,
        NautilusConfig,
        RoutingConfig,
        resolve_path,
    )
else:
    from nautilus_metal.host.v2_records import (
        BarType,
        InstrumentId,
        LiveDataClientConfig,
        NautilusConfig,
        RoutingConfig,
        resolve_path,
    )

STAMPS = ("shifted", "original", "arrival")
AS_FAST_AS_POSSIBLE = "max"


class ReplayFaults(NautilusConfig, frozen=True):
    """What goes wrong with a replayed feed: chances per record, each of 0 by default, and lengths in records.

    Parameters
    ----------
    gap, burst, disorder, duplicate : float
        Chance that a gap (records are lost) or a burst (records are held back, then sent at once) begins at a record,
        that a record comes late, that it comes twice.
    gap_length, burst_length, disorder_distance : int
        Records lost, held back, or overtaking a late one.
    seed : int
        The same seed gives the same faults.
    """

    gap: float = 0.0
    gap_length: int = 20
    burst: float = 0.0
    burst_length: int = 50
    disorder: float = 0.0
    disorder_distance: int = 3
    duplicate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.table()
        if self.seed < 0:
            raise InputError(f"`seed` must be at least 0, was {self.seed}")

    def table(self) -> Faults:
        """Return them without the seed."""
        return Faults(**{name: getattr(self, name) for name in Faults.__dataclass_fields__})


class ReplayDataClientConfig(LiveDataClientConfig, frozen=True, kw_only=True):
    """Which data a `ReplayDataClient` plays, and how. Exactly one of `catalog`, `source` and `data` is given.

    The client answers requests for bars and quotes from what lies before the present of the replay, and serves every
    venue that has no client of its own. Playing begins when somebody has subscribed or asked for history.

    Parameters
    ----------
    catalog : str, optional
        Folder of a `ParquetDataCatalog`.
    source : str, optional
        Importable path ("module:function") of a function that returns a `ReplayData`.
    source_options : dict, optional
        Its keyword arguments.
    data : ReplayData, optional
        The data themselves; in code only, and not where the node writes its own config to a stream.
    bar_types, instruments : tuple, optional
        What to read of a catalog; all of it where not given.
    start, end : str, optional
        ISO times of the first and last record to play; what lies before `start` is history. All is played by default.
    speed : float or "max", default 1.0
        Seconds of data in a second; "max" plays as fast as the node takes it.
    stamps : str, default "shifted"
        Time stamps of what is sent. "shifted": moved by one constant, a whole number of bars, so that the last record
        bears about the time at which it is played, and with speed 1 each of them. "original": as recorded.
        "arrival": the moment of sending, for quotes; bars of a faster replay would all fall into one period.
    repeat : int, default 1
        Times that the data are played, one after the other in time.
    everything : bool, default True
        Send all data; else only those subscribed. The sandbox fills on quotes that nobody subscribes.
    start_delay : float, default 0.2
        Seconds without a new subscription or request before the first record.
    shut_down_after : float, optional
        Seconds after the last record at which the node is asked to stop; it runs on where not given.
    faults : ReplayFaults
        Gaps, bursts, disorder and duplicates.

    Raises
    ------
    InputError
        If a setting is outside what is said above.
    """

    catalog: str | None = None
    source: str | None = None
    source_options: dict[str, Any] = {}
    data: Any = None
    bar_types: tuple[BarType, ...] = ()
    instruments: tuple[InstrumentId, ...] = ()
    start: str | None = None
    end: str | None = None
    speed: float | str = 1.0
    stamps: str = "shifted"
    repeat: int = 1
    everything: bool = True
    start_delay: float = 0.2
    shut_down_after: float | None = None
    faults: ReplayFaults = ReplayFaults()
    routing: RoutingConfig = RoutingConfig(default=True)

    def __post_init__(self) -> None:
        given = [name for name in ("catalog", "source", "data") if getattr(self, name) is not None]
        if len(given) != 1:
            came = " and ".join(given) or "none"
            raise InputError(f"one of `catalog`, `source` and `data` must be given, was {came}")
        if self.data is not None and not isinstance(self.data, ReplayData):
            raise InputError(f"`data` must be a ReplayData, was {type(self.data).__name__}")
        if self.stamps not in STAMPS:
            raise InputError(f"`stamps` must be one of {', '.join(STAMPS)}, was {self.stamps!r}")
        fast = self.speed == AS_FAST_AS_POSSIBLE
        if not fast and (isinstance(self.speed, str) or not 0.0 < self.speed < float("inf")):
            raise InputError(f"`speed` must be above 0 and finite, or {AS_FAST_AS_POSSIBLE!r}, was {self.speed!r}")
        if self.repeat < 1:
            raise InputError(f"`repeat` must be at least 1, was {self.repeat}")
        for name in ("start_delay", "shut_down_after"):
            seconds = getattr(self, name)
            if seconds is not None and not 0.0 <= seconds < float("inf"):
                raise InputError(f"`{name}` must be at least 0 seconds and finite, was {seconds}")
        for name in ("start", "end"):
            nanoseconds(getattr(self, name), name)

    def load(self) -> ReplayData:
        """Read the data."""
        if isinstance(self.data, ReplayData):
            return self.data
        if self.catalog is not None:
            return ReplayData.from_catalog(self.catalog, self.bar_types, self.instruments)
        made = resolve_path(str(self.source))(**self.source_options)
        if not isinstance(made, ReplayData):
            raise InputError(f"`source` must return a ReplayData, {self.source} returned a {type(made).__name__}")
        return made


def nanoseconds(text: str | None, name: str) -> int | None:
    """Read an ISO time, UTC where it has no zone; None where there is none."""
    if text is None:
        return None
    try:
        at = pd.Timestamp(text)
    except ValueError:
        raise InputError(f"`{name}` must be an ISO time, was {text!r}") from None
    return int((at.tz_localize("UTC") if at.tz is None else at).value)
