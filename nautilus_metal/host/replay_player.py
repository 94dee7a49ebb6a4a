"""A replay in the making: when each record is sent, with which stamps, and what of the past it knows."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import pandas as pd

from nautilus_metal.errors import InputError
from nautilus_metal.host.replay_config import AS_FAST_AS_POSSIBLE, ReplayDataClientConfig, nanoseconds
from nautilus_metal.host.replay_schedule import schedule
from nautilus_metal.host.version import MAJOR

if TYPE_CHECKING or MAJOR == 1:
    from nautilus_metal.host.v1_records import Bar, QuoteTick, restamped
else:
    from nautilus_metal.host.v2_records import Bar, QuoteTick, restamped

_ENDLESS = 2**62
_TURN = 32  # records sent on time before other tasks of the loop get their turn
_LOT = 256  # records sent as fast as possible before the node is waited for


class Player:
    """What a replay data client does under every version of the host, which gives it the methods that raise here.

    Attributes
    ----------
    sent : int
        Records so far.
    done : bool
        Whether the last one has been sent, or the client was disconnected.
    trace : deque of int or None
        Where to note when each record was sent, on the performance counter.
    """

    def prepare(self, config: ReplayDataClientConfig) -> None:
        """Read the data and make ready to play them."""
        self._replay = config
        self._data = config.load()
        first = nanoseconds(config.start, "start") or int(self._data.times[0])
        last = nanoseconds(config.end, "end") or _ENDLESS
        self._played = self._data.between(first, last)
        if not self._played:
            raise InputError(f"`start` and `end` must leave something to play, {config.start} to {config.end} do not")
        self._times = self._data.times[self._data.times.searchsorted(first) :][: len(self._played)]
        step = self._data.interval
        self._span = -(-(int(self._times[-1] - self._times[0]) + 1) // step) * step
        self._wanted: set[Any] = set()
        self._position = int(self._times[0]) - 1
        self._later = 0
        self._offset: int | None = None
        self._touched = 0.0
        self.sent = 0
        self.done = False
        self.trace: deque[int] | None = None

    def _now(self) -> int:
        """UNIX nanoseconds of the system's clock."""
        raise NotImplementedError

    def _spawn(self, play: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the rest."""
        raise NotImplementedError

    def _emit(self, record: Any) -> None:
        """Send a record to the data engine."""
        raise NotImplementedError

    def _say(self, text: str, warning: bool = False) -> None:
        """Write to the log."""
        raise NotImplementedError

    async def _wait_for_the_node(self) -> None:
        """Wait until it has taken what was sent, where that is not done at once."""

    def _shut_down(self) -> None:
        """Ask the node to stop, as the replay has ended."""
        raise NotImplementedError

    def want_bars(self, bar_type: Any) -> None:
        """Note that somebody has subscribed a bar type."""
        self._want(bar_type, self._data.bar_types)

    def want_quotes(self, instrument_id: Any) -> None:
        """Note that somebody has subscribed quotes."""
        self._want(instrument_id, self._data.quoted)

    @property
    def bar_types(self) -> frozenset[Any]:
        """Of the bars."""
        return self._data.bar_types

    @property
    def quoted(self) -> frozenset[Any]:
        """IDs of the instruments that have quotes."""
        return self._data.quoted

    def past_bars(self, request: Any) -> list[Any]:
        """Return the bars of a request's type and time that the replay has had so far."""
        return self._history(request, lambda one: isinstance(one, Bar) and one.bar_type == request.bar_type)

    def past_quotes(self, request: Any) -> list[Any]:
        """Return the quotes of a request's instrument and time that the replay has had so far."""
        name = request.instrument_id
        return self._history(request, lambda one: isinstance(one, QuoteTick) and one.instrument_id == name)

    def touch(self) -> None:
        """Somebody is there: fix the time stamps, and play once nobody else comes."""
        self._touched = asyncio.get_running_loop().time()
        if self._offset is None:
            self._offset = self._find_offset(self._now() + int(self._replay.start_delay * 1e9))
            self._spawn(self._play())

    def _want(self, name: Any, known: frozenset[Any]) -> None:
        if name not in known:
            self._say(f"The replay has no data of {name}", warning=True)
        self._wanted.add(name)
        self.touch()

    def _find_offset(self, begin: int) -> int:
        if self._replay.stamps == "original":
            return 0
        first = int(self._times[0])
        length = self._span * (self._replay.repeat - 1) + int(self._times[-1]) - first
        if self._replay.stamps == "arrival":
            length = 0  # what is sent bears the time of sending; history ends where the replay begins
        took = 0 if self._replay.speed == AS_FAST_AS_POSSIBLE else int(length / float(self._replay.speed))
        step = self._data.interval
        return (begin + took - first - length) // step * step

    def _history(self, request: Any, wanted: Callable[[Any], bool]) -> list[Any]:
        """Return what the replay has had so far of the time asked for, reckoned back from its present."""
        self.touch()
        now = self._now()
        start, end = (
            self._position if bound is None else min(self._position, self._position - now + pd.Timestamp(bound).value)
            for bound in (request.start, request.end)
        )
        offset = (self._offset or 0) + self._later
        if request.start is None:
            start = 0
        found = [record for record in self._data.between(start, end) if wanted(record)][-(request.limit or 0) :]
        return [restamped(record, record.ts_event + offset, record.ts_init + offset) for record in found]

    async def _play(self) -> None:
        loop, delay = asyncio.get_running_loop(), self._replay.start_delay
        while (wait := self._touched + delay - loop.time()) > 0.0:
            await asyncio.sleep(wait)
        began = loop.time()
        for part in range(self._replay.repeat):
            await self._play_once(part, began)
        self.done = True
        self._say(f"The replay has ended after {self.sent:_} records")
        if self._replay.shut_down_after is not None:
            await asyncio.sleep(self._replay.shut_down_after)
            self._shut_down()

    async def _play_once(self, part: int, began: float) -> None:
        loop = asyncio.get_running_loop()
        self._later = part * self._span
        self._position = int(self._times[0]) - 1
        due, index = schedule(self._times, self._replay.faults.table(), self._replay.faults.seed, part)
        unhurried = self._replay.speed != AS_FAST_AS_POSSIBLE
        pace = 1e-9 / float(self._replay.speed) if unhurried else 0.0
        first = int(self._times[0])
        for turn in range(len(due)):
            at, number = int(due[turn]), int(index[turn])
            if unhurried:
                wait = began + (at + self._later - first) * pace - loop.time()
                if wait > 0.0 or turn % _TURN == 0:
                    await asyncio.sleep(max(wait, 0.0))
            else:
                await asyncio.sleep(0)
                if turn % _LOT == 0:
                    await self._wait_for_the_node()
            self._send(self._played[number], at)

    def _send(self, record: Any, at: int) -> None:
        name = record.bar_type if isinstance(record, Bar) else record.instrument_id
        if not (self._replay.everything or name in self._wanted):
            return
        self._position = at
        offset = (self._offset or 0) + self._later
        if self._replay.stamps == "arrival":
            now = self._now()
            record = restamped(record, now, now)
        elif offset or at != record.ts_init:
            record = restamped(record, record.ts_event + offset, at + offset)
        self.sent += 1
        if self.trace is not None:
            self.trace.append(perf_counter_ns())
        self._emit(record)
