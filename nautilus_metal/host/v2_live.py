"""A `LiveNode` of NautilusTrader 2.x on an event loop of its own: built, run until something holds, stopped."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nautilus_trader.adapters.sandbox import SandboxExecutionClientConfig, SandboxExecutionClientFactory
from nautilus_trader.live import LiveNode as HostNode
from nautilus_trader.live import LiveNodeBuilder
from nautilus_trader.live.clients import DataClientFactory

from nautilus_metal.errors import InputError
from nautilus_metal.host.replay_config import ReplayDataClientConfig
from nautilus_metal.host.v2_config_check import Client, NodeConfig
from nautilus_metal.host.v2_ear import Ear
from nautilus_metal.host.v2_replay import ReplayDataClient, ReplayDataClientFactory

_POLL_SECONDS = 0.02
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LiveNode:
    """Runs one `LiveNode` of 2.x; a context manager that disposes of it.

    Parameters
    ----------
    config : NodeConfig
        As `node_config` makes it of a file. The replay and the sandbox need no factory.

    Attributes
    ----------
    node : nautilus_trader.live.LiveNode
        The host's own, to which actors and strategies may be added before it runs.
    replays : list of ReplayDataClient
        The replay data clients in it.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self.replays: list[ReplayDataClient] = []
        try:
            self.node = self._built(config)
        except BaseException:
            self._close()
            raise
        self._ear = Ear(self.replays)
        self.node.add_actor(self._ear)
        self._disposed = False

    def __enter__(self) -> "LiveNode":
        return self

    def __exit__(self, *_error: object) -> None:
        self.dispose()

    def hear(self, topic: str, handler: Callable[[Any], None]) -> None:
        """Call `handler` with every message of a topic, as `Ear.hear` has it."""
        self._ear.hear(topic, handler)

    def run(self, until: Callable[[], bool] | None = None, timeout: float | None = None) -> bool:
        """Run until `until` holds, the node is stopped, a replay asks for it, or the time is up; it is stopped then.

        SIGINT and SIGTERM stop it too.

        Parameters
        ----------
        until : callable, optional
            Asked on the loop's thread about 50 times a second.
        timeout : float, optional
            Seconds.

        Returns
        -------
        bool
            Whether `until` held; without it, whether the node stopped in time.

        Raises
        ------
        Exception
            What a callback of this package's actors, or of actors and strategies on its base classes, has raised.
        """
        return self._loop.run_until_complete(self._run(until, timeout))

    def dispose(self) -> None:
        """Let go of the node, and close the loop."""
        if self._disposed:
            return
        self._disposed = True
        self.node.dispose()
        del self.node  # a second node can be built only when the first is gone
        self._close()

    async def _run(self, until: Callable[[], bool] | None, timeout: float | None) -> bool:
        stop = asyncio.Event()
        for number in _SIGNALS:
            with suppress(NotImplementedError, RuntimeError):  # on Windows, or beside the main thread
                self._loop.add_signal_handler(number, stop.set)
        task = asyncio.ensure_future(self.node.run_async())
        end = None if timeout is None else self._loop.time() + timeout
        held = asked = False
        while not (task.done() or held or asked or (end is not None and self._loop.time() > end)):
            await asyncio.wait({task}, timeout=_POLL_SECONDS)
            held = until is not None and until()
            asked = stop.is_set() or any(replay.over for replay in self.replays)
        in_time = held if until else task.done() or asked
        if not task.done():
            self.node.handle().stop()
        await task
        self._ear.look()  # for what the stop has brought
        return in_time

    def _built(self, config: NodeConfig) -> HostNode:
        builder = LiveNodeBuilder.from_config(str(config.trader_id), config.host)
        for client in config.data_clients:
            builder = builder.add_data_client(client.name, self._data_factory(client), client.config)
        for client in config.exec_clients:
            if isinstance(client.config, SandboxExecutionClientConfig):
                factory = SandboxExecutionClientFactory()
                builder = builder.add_simulated_exec_client(client.name, factory, client.config)
            else:
                builder = builder.add_exec_client(client.name, _factory_of(client), client.config)
        if config.controller is not None:
            builder = builder.with_controller(config.controller)
        node = builder.build()
        for add, parts in (
            (node.add_exec_algorithm_from_config, config.exec_algorithms),
            (node.add_actor_from_config, config.actors),
            (node.add_strategy_from_config, config.strategies),
        ):
            for part in parts:
                add(part)
        return node

    def _data_factory(self, client: Client) -> Any:
        if not isinstance(client.config, ReplayDataClientConfig):
            return _factory_of(client)
        return _Noting(client.factory or ReplayDataClientFactory, self.replays)

    def _close(self) -> None:
        self._loop.close()
        asyncio.set_event_loop(None)


class _Noting(DataClientFactory):
    """A factory of replay clients that keeps what it has made."""

    def __init__(self, factory: Any, made: list[ReplayDataClient]) -> None:
        self._factory, self._made = factory, made

    def create(self, *, name: str, config: Any, cache: Any, clock: Any) -> ReplayDataClient:
        client: ReplayDataClient = self._factory.create(name=name, config=config, cache=cache, clock=clock)
        self._made.append(client)
        return client


def _factory_of(client: Client) -> Any:
    if client.factory is None:
        raise InputError(f"the client {client.name} must have a `factory`, had none")
    return client.factory()
