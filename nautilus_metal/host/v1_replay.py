"""A data client that plays recorded bars and quotes into a live node, with no network."""

from typing import Any

from nautilus_trader.common.messages import ShutdownSystem
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.live.factories import LiveDataClientFactory
from nautilus_trader.model.identifiers import ClientId

from nautilus_metal.host.replay_config import ReplayDataClientConfig
from nautilus_metal.host.replay_player import Player

_SHUTDOWN_TOPIC = "commands.system.shutdown"


class ReplayDataClient(Player, LiveMarketDataClient):
    """Plays a `ReplayData`; made by `ReplayDataClientFactory`."""

    def __init__(self, loop: Any, name: str, config: ReplayDataClientConfig, msgbus: Any, cache: Any, clock: Any):
        LiveMarketDataClient.__init__(
            self, loop, ClientId(name), None, msgbus, cache, clock, InstrumentProvider()
        )
        self.prepare(config)
        for instrument in self._data.instruments:
            cache.add_instrument(instrument)  # here, as the sandbox reads them when it connects

    def _now(self) -> int:
        now: int = self._clock.timestamp_ns()
        return now

    def _spawn(self, play: Any) -> None:
        self.create_task(play, log_msg="replay")

    def _emit(self, record: Any) -> None:
        self._handle_data(record)

    def _say(self, text: str, warning: bool = False) -> None:
        (self._log.warning if warning else self._log.info)(text)

    def _shut_down(self) -> None:
        stop = (self._msgbus.trader_id, self.id, UUID4(), self._clock.timestamp_ns(), "the replay has ended")
        self._msgbus.publish(_SHUTDOWN_TOPIC, ShutdownSystem(*stop))

    async def _connect(self) -> None:
        self._log.info(f"{len(self._played):_} records to play, {self._replay.repeat} times")

    async def _disconnect(self) -> None:
        self.done = True

    async def _subscribe_bars(self, command: Any) -> None:
        self.want_bars(command.bar_type)

    async def _subscribe_quote_ticks(self, command: Any) -> None:
        self.want_quotes(command.instrument_id)

    async def _subscribe_instrument(self, command: Any) -> None:
        self.touch()

    async def _subscribe_instruments(self, command: Any) -> None:
        self.touch()

    async def _unsubscribe_bars(self, command: Any) -> None:
        self._wanted.discard(command.bar_type)

    async def _unsubscribe_quote_ticks(self, command: Any) -> None:
        self._wanted.discard(command.instrument_id)

    async def _unsubscribe_instrument(self, command: Any) -> None:
        pass

    async def _unsubscribe_instruments(self, command: Any) -> None:
        pass

    async def _request_bars(self, request: Any) -> None:
        bounds = request.start, request.end
        self._handle_bars(request.bar_type, self.past_bars(request), request.id, *bounds, request.params)

    async def _request_quote_ticks(self, request: Any) -> None:
        bounds = request.start, request.end
        self._handle_quote_ticks(
            request.instrument_id, self.past_quotes(request), request.id, *bounds, request.params
        )

    async def _request_instrument(self, request: Any) -> None:
        instrument = self._cache.instrument(request.instrument_id)
        if instrument is None:
            self._log.error(f"The replay has no instrument {request.instrument_id}")
            return
        self._handle_instrument(instrument, request.id, request.start, request.end, request.params)

    async def _request_instruments(self, request: Any) -> None:
        found = [each for each in self._data.instruments if request.venue in (None, each.venue)]
        self._handle_instruments(request.venue, found, request.id, request.start, request.end, request.params)


class ReplayDataClientFactory(LiveDataClientFactory):
    """Makes `ReplayDataClient`s for a `TradingNode`."""

    @staticmethod
    def create(loop: Any, name: str, config: Any, msgbus: Any, cache: Any, clock: Any) -> ReplayDataClient:
        """Make a client; its instruments are in the cache from then on."""
        return ReplayDataClient(loop, name, config, msgbus, cache, clock)
