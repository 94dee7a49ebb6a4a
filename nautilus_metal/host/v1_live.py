"""A `TradingNode` on an event loop of its own: built from a config, run until something holds, stopped, disposed."""

import asyncio
from collections.abc import Callable
from typing import Any

from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.common.config import resolve_path
from nautilus_trader.config import (
    ImportableActorConfig,
    ImportableConfig,
    ImportableControllerConfig,
    NautilusConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode

from nautilus_metal.host.replay_config import ReplayDataClientConfig
from nautilus_metal.host.v1_replay import ReplayDataClient, ReplayDataClientFactory

_POLL_SECONDS = 0.02
_FACTORIES: dict[Any, Any] = {
    ReplayDataClientConfig: ReplayDataClientFactory,
    SandboxExecutionClientConfig: SandboxLiveExecClientFactory,
}


def importable_actor(actor: str, config: str, settings: dict[str, Any]) -> ImportableActorConfig:
    """Return the importable config of an actor."""
    return ImportableActorConfig(actor_path=actor, config_path=config, config=settings)


def importable_controller(controller: str, config: str, settings: dict[str, Any]) -> ImportableControllerConfig:
    """Return the importable config of a controller."""
    return ImportableControllerConfig(controller_path=controller, config_path=config, config=settings)


def settings_of(config: NautilusConfig) -> dict[str, Any]:
    """Return what a config holds as it stands in a file."""
    settings: dict[str, Any] = config.json_primitives()
    return settings


class LiveNode:
    """Runs one `TradingNode`; a context manager that disposes of it.

    Parameters
    ----------
    config : TradingNodeConfig
        The clients' factories come with importable configs; replay and sandbox need none.
    """

    def __init__(self, config: TradingNodeConfig) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        try:
            self.node = TradingNode(config, self._loop)
            self._add_factories(config)
            self.node.build()
        except BaseException:
            self._close()
            raise
        self.kernel = self.node.kernel
        clients = self.kernel.data_engine._clients.values()
        self.replays = [client for client in clients if isinstance(client, ReplayDataClient)]

    def __enter__(self) -> "LiveNode":
        return self

    def __exit__(self, *_error: object) -> None:
        self.dispose()

    def hear(self, topic: str, handler: Callable[[Any], None]) -> None:
        """Call `handler` with every message of a topic of the bus."""
        self.kernel.msgbus.subscribe(topic, handler)

    def run(self, until: Callable[[], bool] | None = None, timeout: float | None = None) -> bool:
        """Run until `until` holds, the node is stopped, or the time is up; the node is stopped then.

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
        """
        return self._loop.run_until_complete(self._run(until, timeout))

    def dispose(self) -> None:
        """Stop what still runs, and close the loop."""
        if self._loop.is_closed():
            return
        if self.kernel.is_running():
            self._loop.run_until_complete(self.node.stop_async())
        self._loop.run_until_complete(_cancel_the_rest())
        self.node.dispose()
        self._close()

    async def _run(self, until: Callable[[], bool] | None, timeout: float | None) -> bool:
        task = asyncio.ensure_future(self.node.run_async())
        end = None if timeout is None else self._loop.time() + timeout
        held = False
        while not (task.done() or held or (end is not None and self._loop.time() > end)):
            await asyncio.wait({task}, timeout=_POLL_SECONDS)
            held = until is not None and until()
        in_time = held if until else task.done()
        if not task.done():
            await self.node.stop_async()
        await task
        while self.kernel.is_running():  # the stop that ended the task has still some lines to go
            await asyncio.sleep(0)
        return in_time

    def _add_factories(self, config: TradingNodeConfig) -> None:
        # the builder would make an instance of an importable factory and then ask it for its class's name
        for clients, add in (
            (config.data_clients, self.node.add_data_client_factory),
            (config.exec_clients, self.node.add_exec_client_factory),
        ):
            for key, client in clients.items():
                factory = _factory_of(client)
                if factory is not None:
                    add(key.partition("-")[0], factory)

    def _close(self) -> None:
        self._loop.close()
        asyncio.set_event_loop(None)


async def _cancel_the_rest() -> None:
    # the actors' executors leave their workers waiting, which would complain of the closed loop
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _factory_of(client: Any) -> Any:
    if not isinstance(client, ImportableConfig):
        return _FACTORIES.get(type(client))
    if client.factory is None:
        return _FACTORIES.get(resolve_path(client.path))
    return resolve_path(client.factory.path)
