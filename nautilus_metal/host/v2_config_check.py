"""Turn the settings of a live node into what NautilusTrader 2.x builds it of, and say which keys are wrong and why.

The keys are those of 1.x's `TradingNodeConfig`, so that one file serves both; those of 2.x's `LiveNodeConfig` are
taken as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nautilus_trader.common import ImportableActorConfig
from nautilus_trader.live import DataClientConfig, ExecutionClientConfig, LiveNodeConfig
from nautilus_trader.live.clients import DataClientFactory, ExecutionClientFactory
from nautilus_trader.trading import (
    ImportableControllerConfig,
    ImportableExecutionAlgorithmConfig,
    ImportableStrategyConfig,
)

from nautilus_metal.host.config_check import Checks, shown
from nautilus_metal.host.v2_config import Settings, decoded, fields_of
from nautilus_metal.host.v2_node_keys import CALLED, LISTS, PATHS, SANDBOX, SECTIONS, UNKNOWN, Section, section_of


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an importable part of the settings is made of."""

    made: Any
    cls_key: str


_PARTS = {
    "actors": _Kind(ImportableActorConfig, "actor_path"),
    "strategies": _Kind(ImportableStrategyConfig, "strategy_path"),
    "exec_algorithms": _Kind(ImportableExecutionAlgorithmConfig, "exec_algorithm_path"),
    "controller": _Kind(ImportableControllerConfig, "controller_path"),
}
_CLIENTS = {
    "data_clients": (DataClientConfig, DataClientFactory),
    "exec_clients": (ExecutionClientConfig, ExecutionClientFactory),
}
_IMPORTABLE = ("path", "config", "factory")


@dataclass(frozen=True, slots=True)
class Client:
    """A client of a node.

    Attributes
    ----------
    name : str
        By which the node knows it.
    factory : object or None
        What makes it; None where the config says it.
    config : object
        Its settings.
    """

    name: str
    factory: Any
    config: Any


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """All that a live node of 2.x is built of; what its own `LiveNodeConfig` has, and what that has no place for.

    Attributes
    ----------
    host : LiveNodeConfig
        The node's own settings.
    data_clients, exec_clients : list of Client
        With their configs made.
    actors, strategies, exec_algorithms : list
        Importable configs.
    controller : ImportableControllerConfig or None
        The node's.
    """

    host: LiveNodeConfig = field(default_factory=LiveNodeConfig)
    data_clients: list[Client] = field(default_factory=list)
    exec_clients: list[Client] = field(default_factory=list)
    actors: list[Any] = field(default_factory=list)
    strategies: list[Any] = field(default_factory=list)
    exec_algorithms: list[Any] = field(default_factory=list)
    controller: Any = None

    @property
    def trader_id(self) -> Any:
        """The trader's."""
        return self.host.trader_id


class NodeSettings(Checks):
    """Checks the settings of a node, all of them, and makes a `NodeConfig`."""

    def make(self, settings: Mapping[str, Any], ready: Mapping[str, Any]) -> NodeConfig | None:
        """Make the config; None where something is `wrong`.

        Parameters
        ----------
        settings : mapping
            As a file has them.
        ready : mapping
            Parts that have been checked: lists come before those of the settings, others take their place.
        """
        host: dict[str, Any] = {}
        parts: dict[str, Any] = {}
        section = section_of(LiveNodeConfig)
        for name, value in settings.items():
            if name == "controller":
                parts[name] = self.importable(name, value, _PARTS[name])
            elif name in _PARTS:
                parts[name] = self.each(name, value, list, partial(self.importable, kind=_PARTS[name]))
            elif name in _CLIENTS:
                base, factory = _CLIENTS[name]
                made = self.each(name, value, dict, partial(self._client, base=base, factory=factory))
                parts[name] = list((made or {}).values())
            else:
                called = CALLED.get(name, name)
                if called in SECTIONS:
                    host[called] = self._section(name, value, section_of(SECTIONS[called]))
                elif called in LISTS:
                    check = partial(self._section, section=section_of(LISTS[called]))
                    host[called] = self.each(name, value, list, check)
                else:
                    self._value(name, name, value, section, host)
        if self.wrong:
            return None
        for name, part in ready.items():
            parts[name] = [*part, *parts.get(name, [])] if isinstance(part, list) else part
        return NodeConfig(LiveNodeConfig(**host), **parts)

    def importable(self, key: str, value: Any, kind: _Kind) -> Any:
        """Check an importable config: its paths, then the settings in it."""
        names = (kind.cls_key, "config_path", "config")
        if not self._table(key, value, names, names):
            return None
        cls = self.resolve(f"{key}.{kind.cls_key}", value[kind.cls_key], object)
        config = self.resolve(f"{key}.config_path", value["config_path"], object)
        if cls is None or config is None:
            return None
        self.settings_of(f"{key}.config", value["config"], cls, config)
        return kind.made(value[kind.cls_key], value["config_path"], value["config"])

    def _client(self, key: str, value: Any, base: type, factory: type) -> Client | None:
        if not self.named(key) or not self._table(key, value, ("path",), _IMPORTABLE):
            return None
        path = PATHS.get(value["path"], value["path"])
        of_sandbox = path == SANDBOX
        config = self.resolve(f"{key}.path", path, object if of_sandbox and base is ExecutionClientConfig else base)
        made_by = value.get("factory")
        if made_by is not None and self._table(f"{key}.factory", made_by, ("path",), ("path",)):
            given = PATHS.get(made_by["path"], made_by["path"])
            made_by = self.resolve(f"{key}.factory.path", given, object if given in PATHS.values() else factory)
        if config is None:
            return None
        settings = value.get("config", {})
        if of_sandbox:
            made = self._section(f"{key}.config", settings, section_of(config))
        else:
            made = self.decode(f"{key}.config", settings, config)
        return Client(key.rpartition(".")[2], made_by, made)

    def _section(self, key: str, value: Any, section: Section) -> Any:
        """Make one of the host's own configs."""
        if not isinstance(value, Mapping):
            return self.add(key, f"must be table, was {shown(value)}")
        before, made = len(self.wrong), dict[str, Any]()
        for name, item in value.items():
            self._value(f"{key}.{name}", name, item, section, made)
        for name in section.needed:
            if name not in made:
                self.add(f"{key}.{section.written(name)}", "must be given, is missing")
        if len(self.wrong) > before:
            return None
        try:
            return section.make(made)
        except (TypeError, ValueError) as error:
            return self.add(key, str(error))

    def _value(self, key: str, name: str, value: Any, section: Section, made: dict[str, Any]) -> None:
        """Decode one value of one of the host's own configs, and let the host refuse it."""
        why = UNKNOWN.get((section.cls.__name__, name))
        called = section.called.get(name, name)
        if why is not None:
            self.add(key, f"is known to NautilusTrader v1 only: {why}")
        elif called not in section.kinds:
            self.unknown(key, name, sorted(set(section.kinds) | set(section.called)))
        else:
            before = len(self.wrong)
            given = self.decode(key, value, section.kinds[called])
            if len(self.wrong) == before and not section.needed:
                try:
                    section.make({called: given})
                except (TypeError, ValueError, OverflowError) as error:
                    self.add(key, f"{error}, was {shown(value)}")
            made[called] = given

    def _table(self, key: str, value: Any, needed: tuple[str, ...], known: tuple[str, ...]) -> bool:
        """Note what a table of a path and settings has too little or too much."""
        before = len(self.wrong)
        if not isinstance(value, Mapping):
            self.add(key, f"must be table, was {shown(value)}")
            return False
        for name in needed:
            if name not in value:
                self.add(f"{key}.{name}", "must be given, is missing")
                return False
        for name, item in value.items():
            if name not in known:
                self.unknown(f"{key}.{name}", name, known)
            elif name.endswith("path") and not isinstance(item, str):
                self.add(f"{key}.{name}", f"must be str, was {shown(item)}")
            elif name == "config" and not isinstance(item, Mapping):
                self.add(f"{key}.{name}", f"must be table, was {shown(item)}")
        return len(self.wrong) == before

    def decode(self, key: str, value: Any, kind: Any) -> Any:
        """Decode one part of the settings; a wrong key is noted, and None is returned."""
        if isinstance(kind, type) and issubclass(kind, Settings) and not isinstance(value, kind):
            return self._fields(key, value, kind)
        return super().decode(key, value, kind)

    def _fields(self, key: str, value: Any, kind: type) -> Any:
        """Make settings of this package, or of a user's in its way, field by field, as each may be wrong."""
        if not isinstance(value, Mapping):
            return self.add(key, f"must be table, was {shown(value)}")
        before, hints, made = len(self.wrong), fields_of(kind), dict[str, Any]()
        for name, item in value.items():
            if name in hints:
                made[name] = self.decode(f"{key}.{name}", item, hints[name])
            else:
                self.unknown(f"{key}.{name}", name, tuple(hints))
        for name in hints:
            if name not in value and not hasattr(kind, name):
                self.add(f"{key}.{name}", "must be given, is missing")
        if len(self.wrong) > before:
            return None
        try:
            return kind(**made)
        except ValueError as error:
            self._note(key, value, None, str(error))
        return None

    def _decoded(self, value: Any, kind: Any) -> Any:
        if isinstance(kind, type) and isinstance(value, Mapping) and not issubclass(kind, dict):
            return kind(**value)  # a config of the host's, or of a user's
        return decoded(value, kind)
