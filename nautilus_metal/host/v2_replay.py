"""A data client that plays recorded bars and quotes into a live node of NautilusTrader 2.x, with no network."""

import asyncio
from typing import Any

from nautilus_trader.common import Logger
from nautilus_trader.live import BarsResponse, InstrumentResponse, InstrumentsResponse, QuotesResponse
from nautilus_trader.live.clients import DataClientFactory, MarketDataClient
from nautilus_trader.model import QuoteTick

from nautilus_metal.host.replay_config import ReplayDataClientConfig
from nautilus_metal.host.replay_player import Player

_NAP, _PATIENCE = 0.0005, 1.0  # seconds, between two looks at what the node has taken, and at most

class ReplayDataClient(Player, MarketDataClient):
    """Plays a `ReplayData`; made by `ReplayDataClientFactory`.

    A data client of 2.x has no way to stop its node: `nautilus_metal.live.LiveNode` looks for `over`, a node of the
    host's own runs on.

    Attributes
    ----------
    over : bool
        Whether `shut_down_after` has passed.
    """

    def __init__(self, name: str, config: ReplayDataClientConfig, cache: Any, clock: Any) -> None:
        MarketDataClient.__init__(self, name=name, config=config, cache=cache, clock=clock)
        self._log = Logger(name)
        self.over = False
        self._newest: QuoteTick | None = None
        self.prepare(config)

    def _now(self) -> int:
        now: int = self.clock.timestamp_ns()
        return now

    def _spawn(self, play: Any) -> None:
        self.create_task(play, "replay")

    def _emit(self, record: Any) -> None:
        if isinstance(record, QuoteTick):
            self._newest = record
        self._handle_data(record)

    async def _wait_for_the_node(self) -> None:
        # the host's queue has no end that a client could see; a quote has gone through it when the cache has it
        newest, end = self._newest, asyncio.get_running_loop().time() + _PATIENCE
        while newest is not None and asyncio.get_running_loop().time() < end:
            quote = self.cache.quote(newest.instrument_id)
            if quote is not None and quote.ts_init >= newest.ts_init:
                break
            await asyncio.sleep(_NAP)

    def _say(self, text: str, warning: bool = False) -> None:
        (self._log.warning if warning else self._log.info)(text)

    def _shut_down(self) -> None:
        self.over = True

    async def _connect(self) -> None:
        for instrument in self._data.instruments:
            self._handle_instrument(instrument)
        self._say(f"{len(self._played):_} records to play, {self._replay.repeat} times")

    async def _disconnect(self) -> None:
        self.done = True

    async def _subscribe_bars(self, command: Any) -> None:
        self.want_bars(command.bar_type)

    async def _subscribe_quotes(self, command: Any) -> None:
        self.want_quotes(command.instrument_id)

    async def _subscribe_instrument(self, command: Any) -> None:
        self.touch()

    async def _subscribe_instruments(self, command: Any) -> None:
        self.touch()

    async def _unsubscribe_bars(self, command: Any) -> None:
        self._wanted.discard(command.bar_type)

    async def _unsubscribe_quotes(self, command: Any) -> None:
        self._wanted.discard(command.instrument_id)

    async def _unsubscribe_instrument(self, command: Any) -> None:
        pass

    async def _unsubscribe_instruments(self, command: Any) -> None:
        pass

    async def _request_bars(self, request: Any) -> None:
        self._answer(BarsResponse, request, request.bar_type, self.past_bars(request))

    async def _request_quotes(self, request: Any) -> None:
        self._answer(QuotesResponse, request, request.instrument_id, self.past_quotes(request))

    async def _request_instrument(self, request: Any) -> None:
        found = [each for each in self._data.instruments if each.id == request.instrument_id]
        if not found:
            self._log.error(f"The replay has no instrument {request.instrument_id}")
            return
        self._answer(InstrumentResponse, request, request.instrument_id, found[0])

    async def _request_instruments(self, request: Any) -> None:
        for venue in dict.fromkeys(each.id.venue for each in self._data.instruments):
            if request.venue in (None, venue):
                found = [each for each in self._data.instruments if each.id.venue == venue]
                self._answer(InstrumentsResponse, request, venue, found)

    def _answer(self, response: Any, request: Any, of: Any, found: Any) -> None:
        bounds = request.start_ns, request.end_ns
        made = response(self.client_id, of, found, request.request_id, self._now(), *bounds, request.params)
        self._handle_response(made)


class ReplayDataClientFactory(DataClientFactory):
    """Makes `ReplayDataClient`s for a `LiveNode`."""

    @staticmethod
    def create(*, name: str, config: Any, cache: Any, clock: Any) -> ReplayDataClient:
        """Make a client; its instruments are in the cache when it has connected."""
        return ReplayDataClient(name, config, cache, clock)
