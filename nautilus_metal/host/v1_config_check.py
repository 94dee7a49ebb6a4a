"""Turn the settings of a live node into its config, and say of each wrong key which one it is and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

import msgspec
from nautilus_trader.common.config import msgspec_decoding_hook, msgspec_encoding_hook
from nautilus_trader.config import (
    ImportableActorConfig,
    ImportableConfig,
    ImportableControllerConfig,
    ImportableStrategyConfig,
    LiveDataClientConfig,
    LiveExecClientConfig,
    NautilusConfig,
    TradingNodeConfig,
)
from nautilus_trader.config import ImportableExecAlgorithmConfig as ImportableAlgorithmConfig
from nautilus_trader.live.factories import LiveDataClientFactory, LiveExecClientFactory
from nautilus_trader.model.identifiers import AccountId, Identifier, StrategyId, TraderId

from nautilus_metal.host.config_check import Checks

_HYPHENATED = (AccountId, StrategyId, TraderId)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an importable part of the settings is made of."""

    config: type
    cls_key: str
    config_key: str


_PARTS = {
    "actors": _Kind(ImportableActorConfig, "actor_path", "config_path"),
    "strategies": _Kind(ImportableStrategyConfig, "strategy_path", "config_path"),
    "exec_algorithms": _Kind(ImportableAlgorithmConfig, "exec_algorithm_path", "config_path"),
    "controller": _Kind(ImportableControllerConfig, "controller_path", "config_path"),
}
_CLIENTS = {
    "data_clients": (LiveDataClientConfig, LiveDataClientFactory),
    "exec_clients": (LiveExecClientConfig, LiveExecClientFactory),
}


class NodeSettings(Checks):
    """Checks the settings of a `TradingNodeConfig`, all of them, and makes it."""

    def make(self, settings: Mapping[str, Any], ready: Mapping[str, Any]) -> TradingNodeConfig | None:
        """Make the config; None where something is `wrong`.

        Parameters
        ----------
        settings : mapping
            As a file has them.
        ready : mapping
            Parts that have been checked: lists come before those of the settings, others take their place.
        """
        kinds = get_type_hints(TradingNodeConfig)
        made: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in TradingNodeConfig.__struct_fields__:
                self.unknown(name, name, TradingNodeConfig.__struct_fields__)
            elif name == "controller":
                made[name] = self.importable(name, value, _PARTS[name])
            elif name in _PARTS:
                made[name] = self.each(name, value, list, partial(self.importable, kind=_PARTS[name]))
            elif name in _CLIENTS:
                base, factory = _CLIENTS[name]
                made[name] = self.each(name, value, dict, partial(self._client, base=base, factory=factory))
            else:
                made[name] = self.decode(name, value, kinds[name])
        if self.wrong:
            return None
        for name, part in ready.items():
            made[name] = [*part, *made.get(name, [])] if isinstance(part, list) else part
        return TradingNodeConfig(**made)

    def importable(self, key: str, value: Any, kind: _Kind) -> Any:
        """Check an importable config: its paths, then the settings in it."""
        before = len(self.wrong)
        part = self.decode(key, value, kind.config)
        if part is None:
            return None
        cls = self.resolve(f"{key}.{kind.cls_key}", getattr(part, kind.cls_key), object)
        config = self.resolve(f"{key}.{kind.config_key}", getattr(part, kind.config_key), NautilusConfig)
        if len(self.wrong) > before:
            return None
        self.settings_of(f"{key}.config", part.config, cls, config)
        return part

    def _client(self, key: str, value: Any, base: type, factory: type) -> Any:
        if not self.named(key):
            return None
        part = self.decode(key, value, ImportableConfig)
        if part is None:
            return None
        config = self.resolve(f"{key}.path", part.path, base)
        if part.factory is not None:
            self.resolve(f"{key}.factory.path", part.factory.path, factory)
        if config is not None:
            self.decode(f"{key}.config", part.config, config)
        return part

    def _decoded(self, value: Any, kind: Any) -> Any:
        raw = msgspec.json.encode(value, enc_hook=msgspec_encoding_hook)
        return msgspec.json.decode(raw, type=kind, dec_hook=_hook)


def _hook(kind: type, value: Any) -> Any:
    """Decode a type of the library's; an identifier is checked first, as a wrong one ends the process."""
    if issubclass(kind, Identifier):
        if not (isinstance(value, str) and value.isascii() and value.strip()):
            raise ValueError(f"Expected {kind.__name__} of ASCII letters, got {value!r}")
        name, hyphen, tag = value.partition("-")
        if issubclass(kind, _HYPHENATED) and value != "EXTERNAL" and not (name and hyphen and tag):
            raise ValueError(f"Expected {kind.__name__} like NAME-001, got {value!r}")
    try:
        return msgspec_decoding_hook(kind, value)
    except ArithmeticError:
        raise ValueError(f"Expected {kind.__name__}, got {value!r}") from None
