"""A data client that plays recorded bars and quotes into a live node, with no network."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import pandas as pd
from nautilus_trader.common.messages import ShutdownSystem
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.live.factories import LiveDataClientFactory
from nautilus_trader.model.data import Bar, QuoteTick
from nautilus_trader.model.identifiers import ClientId

from nautilus_metal.errors import InputError
from nautilus_metal.host.replay_schedule import schedule
from nautilus_metal.host.v1_replay_config import AS_FAST_AS_POSSIBLE, ReplayDataClientConfig, nanoseconds

_SHUTDOWN_TOPIC = "commands.system.shutdown"
_ENDLESS = 2**62
_TURN = 32  # records sent on time before other tasks of the loop get their turn


class ReplayDataClient(LiveMarketDataClient):
    """Plays a `ReplayData`; made by `ReplayDataClientFactory`."""

    def __init__(self, loop: Any, name: str, config: ReplayDataClientConfig, msgbus: Any, cache: Any, clock: Any):
        super().__init__(loop, ClientId(name), None, msgbus, cache, clock, InstrumentProvider())
        self._replay = config
        self._data = config.load()
        for instrument in self._data.instruments:
            cache.add_instrument(instrument)  # here, as the sandbox reads them when it connects
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
        self.trace: deque[int] | None = None  # where to note when each record was sent, on the performance counter

    async def _connect(self) -> None:
        self._log.info(f"{len(self._played):_} records to play, {self._replay.repeat} times")

    async def _disconnect(self) -> None:
        self.done = True

    async def _subscribe_bars(self, command: Any) -> None:
        self._want(command.bar_type, self._data.bar_types)

    async def _subscribe_quote_ticks(self, command: Any) -> None:
        self._want(command.instrument_id, self._data.quoted)

    async def _subscribe_instrument(self, command: Any) -> None:
        self._touch()

    async def _subscribe_instruments(self, command: Any) -> None:
        self._touch()

    async def _unsubscribe_bars(self, command: Any) -> None:
        self._wanted.discard(command.bar_type)

    async def _unsubscribe_quote_ticks(self, command: Any) -> None:
        self._wanted.discard(command.instrument_id)

    async def _unsubscribe_instrument(self, command: Any) -> None:
        pass

    async def _unsubscribe_instruments(self, command: Any) -> None:
        pass

    async def _request_bars(self, request: Any) -> None:
        found = self._history(request, lambda r: isinstance(r, Bar) and r.bar_type == request.bar_type)
        bounds = request.start, request.end
        self._handle_bars(request.bar_type, found, request.id, *bounds, request.params)

    async def _request_quote_ticks(self, request: Any) -> None:
        name = request.instrument_id
        found = self._history(request, lambda r: isinstance(r, QuoteTick) and r.instrument_id == name)
        bounds = request.start, request.end
        self._handle_quote_ticks(name, found, request.id, *bounds, request.params)

    async def _request_instrument(self, request: Any) -> None:
        instrument = self._cache.instrument(request.instrument_id)
        if instrument is None:
            self._log.error(f"The replay has no instrument {request.instrument_id}")
            return
        self._handle_instrument(instrument, request.id, request.start, request.end, request.params)

    async def _request_instruments(self, request: Any) -> None:
        found = [each for each in self._data.instruments if request.venue in (None, each.venue)]
        self._handle_instruments(request.venue, found, request.id, request.start, request.end, request.params)

    def _want(self, name: Any, known: frozenset[Any]) -> None:
        if name not in known:
            self._log.warning(f"The replay has no data of {name}")
        self._wanted.add(name)
        self._touch()

    def _touch(self) -> None:
        """Somebody is there: fix the time stamps, and play once nobody else comes."""
        self._touched = self._loop.time()
        if self._offset is None:
            self._offset = self._find_offset(self._clock.timestamp_ns() + int(self._replay.start_delay * 1e9))
            self.create_task(self._play(), log_msg="replay")

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
        self._touch()
        now = self._clock.timestamp_ns()
        start, end = (
            self._position if bound is None else min(self._position, self._position - now + pd.Timestamp(bound).value)
            for bound in (request.start, request.end)
        )
        offset = (self._offset or 0) + self._later
        if request.start is None:
            start = 0
        found = [record for record in self._data.between(start, end) if wanted(record)][-request.limit :]
        return [_restamped(record, record.ts_event + offset, record.ts_init + offset) for record in found]

    async def _play(self) -> None:
        delay = self._replay.start_delay
        while (wait := self._touched + delay - self._loop.time()) > 0.0:
            await asyncio.sleep(wait)
        began = self._loop.time()
        for part in range(self._replay.repeat):
            await self._play_once(part, began)
        self.done = True
        self._log.info(f"The replay has ended after {self.sent:_} records")
        if self._replay.shut_down_after is not None:
            await asyncio.sleep(self._replay.shut_down_after)
            stop = (self._msgbus.trader_id, self.id, UUID4(), self._clock.timestamp_ns(), "the replay has ended")
            self._msgbus.publish(_SHUTDOWN_TOPIC, ShutdownSystem(*stop))

    async def _play_once(self, part: int, began: float) -> None:
        self._later = part * self._span
        self._position = int(self._times[0]) - 1
        due, index = schedule(self._times, self._replay.faults.table(), self._replay.faults.seed, part)
        unhurried = self._replay.speed != AS_FAST_AS_POSSIBLE
        pace = 1e-9 / float(self._replay.speed) if unhurried else 0.0
        first = int(self._times[0])
        for turn in range(len(due)):
            at, number = int(due[turn]), int(index[turn])
            if unhurried:
                wait = began + (at + self._later - first) * pace - self._loop.time()
                if wait > 0.0 or turn % _TURN == 0:
                    await asyncio.sleep(max(wait, 0.0))
            else:
                await asyncio.sleep(0)
            self._send(self._played[number], at)

    def _send(self, record: Any, at: int) -> None:
        name = record.bar_type if isinstance(record, Bar) else record.instrument_id
        if not (self._replay.everything or name in self._wanted):
            return
        self._position = at
        offset = (self._offset or 0) + self._later
        if self._replay.stamps == "arrival":
            now = self._clock.timestamp_ns()
            record = _restamped(record, now, now)
        elif offset or at != record.ts_init:
            record = _restamped(record, record.ts_event + offset, at + offset)
        self.sent += 1
        if self.trace is not None:
            self.trace.append(perf_counter_ns())
        self._handle_data(record)


class ReplayDataClientFactory(LiveDataClientFactory):
    """Makes `ReplayDataClient`s for a `TradingNode`."""

    @staticmethod
    def create(loop: Any, name: str, config: Any, msgbus: Any, cache: Any, clock: Any) -> ReplayDataClient:
        """Make a client; its instruments are in the cache from then on."""
        return ReplayDataClient(loop, name, config, msgbus, cache, clock)


def _restamped(record: Any, ts_event: int, ts_init: int) -> Any:
    if isinstance(record, Bar):
        prices = record.open, record.high, record.low, record.close, record.volume
        return Bar(record.bar_type, *prices, ts_event, ts_init, record.is_revision)
    sides = record.bid_price, record.ask_price, record.bid_size, record.ask_size
    return QuoteTick(record.instrument_id, *sides, ts_event, ts_init)
