"""Turn the settings of a live node into its config, and say of each wrong key which one it is and why."""

import difflib
import importlib
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Union, get_args, get_origin, get_type_hints

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

_ABSENT: Any = object()
_ANY = "[...]"  # how msgspec writes the key of a table
_HYPHENATED = (AccountId, StrategyId, TraderId)
_AT = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`(?P<key>[^`]*)`)?$", re.DOTALL)
_OWN = re.compile(r"^`(?P<name>\w+)`(?: of (?P<of>\S+))? must (?P<what>.*)$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>\w+)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>\w+)`$")
_EXPECTED = re.compile(r"^Expected (?P<expected>.*?)(?:, got .*)?$")
_QUOTED = 60  # characters of a value that a message repeats


@dataclass(frozen=True, slots=True)
class Wrong:
    """One wrong key.

    Attributes
    ----------
    key : str
        Its full path, with dots and list indices.
    what : str
        What it must be, and what it was.
    """

    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}"


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
Examine = Callable[[type, Any], None]


class NodeSettings:
    """Checks the settings of a `TradingNodeConfig`, all of them, and makes it; what is wrong is in `wrong`.

    Parameters
    ----------
    examine : callable
        Called with the class and the made config of every actor, strategy and controller; raises a ValueError where
        the class itself would refuse the config later.
    """

    def __init__(self, examine: Examine) -> None:
        self._examine = examine
        self.wrong: list[Wrong] = []

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
                made[name] = self._each(name, value, list, partial(self.importable, kind=_PARTS[name]))
            elif name in _CLIENTS:
                base, factory = _CLIENTS[name]
                made[name] = self._each(name, value, dict, partial(self._client, base=base, factory=factory))
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

    def settings_of(self, key: str, value: Any, cls: type, config: type) -> Any:
        """Check the settings of a class: their types, then by the class's own checks."""
        made = self.decode(key, value, config)
        if made is not None:
            try:
                self._examine(cls, made)
            except ValueError as error:
                self._note(key, value, None, str(error))
        return made

    def unknown(self, key: str, name: str, known: Sequence[str]) -> None:
        """Note a key that is not among those known."""
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        self.add(key, f"unknown key, {hint}")

    def decode(self, key: str, value: Any, kind: Any) -> Any:
        """Decode one part of the settings; a wrong key is noted, and None is returned."""
        try:
            raw = msgspec.json.encode(value, enc_hook=msgspec_encoding_hook)
            return msgspec.json.decode(raw, type=kind, dec_hook=_decoded)
        except msgspec.ValidationError as error:
            self._note(key, value, kind, str(error))
        except Exception as error:  # of a foreign config's own checks
            self._note(key, value, kind, f"{type(error).__name__}: {error}")
        return None

    def resolve(self, key: str, path: str, base: type) -> Any:
        """Import what a path names; what cannot be imported, or is of another class, is noted."""
        module, colon, name = path.partition(":")
        if not (module and colon and name):
            return self.add(key, f"must be a path like package.module:Class, was {path!r}")
        try:
            found = getattr(importlib.import_module(module), name, None)
        except Exception as error:
            return self.add(key, f"must be importable, {path!r} is not ({type(error).__name__}: {error})")
        if found is None:
            return self.add(key, f"must be importable, {module} has no {name!r}")
        if not (isinstance(found, type) and issubclass(found, base)):
            wanted = "class" if base is object else f"subclass of {base.__name__}"
            return self.add(key, f"must name a {wanted}, {path!r} is none")
        return found

    def _client(self, key: str, value: Any, base: type, factory: type) -> Any:
        name = key.rpartition(".")[2]
        if not (name.isascii() and name.strip()):
            return self.add(key, f"must be named by ASCII letters, was {name!r}")
        part = self.decode(key, value, ImportableConfig)
        if part is None:
            return None
        config = self.resolve(f"{key}.path", part.path, base)
        if part.factory is not None:
            self.resolve(f"{key}.factory.path", part.factory.path, factory)
        if config is not None:
            self.decode(f"{key}.config", part.config, config)
        return part

    def _each(self, key: str, value: Any, kind: type, check: Callable[[str, Any], Any]) -> Any:
        if kind is list and isinstance(value, list):
            return [check(f"{key}[{number}]", item) for number, item in enumerate(value)]
        if kind is dict and isinstance(value, dict):
            return {name: check(f"{key}.{name}", item) for name, item in value.items()}
        return self.add(key, f"must be {'array' if kind is list else 'table'}, was {_shown(value)}")

    def _note(self, key: str, value: Any, kind: Any, message: str) -> None:
        """Find out of which key under `key` a message speaks."""
        found = _AT.match(message)
        assert found is not None
        what, steps = found["what"], re.findall(r"\.\w+|\[[^\]]*\]", found["key"] or "$")
        if _ANY in steps:
            return self._note_in_table(key, value, kind, steps[: steps.index(_ANY)], message)
        at = key + "".join(steps)
        own = _OWN.match(what)
        if own:
            inner = f"{at}.{own['name']}" + (f".{own['of']}" if own["of"] else "")
            return self.add(inner, f"must {own['what']}")
        unknown, missing = _UNKNOWN.match(what), _MISSING.match(what)
        if unknown:
            fields = getattr(_type_at(kind, steps), "__struct_fields__", ())
            return self.unknown(f"{at}.{unknown['name']}", unknown["name"], fields)
        if missing:
            return self.add(f"{at}.{missing['name']}", "must be given, is missing")
        came = _value_at(value, steps)
        shown = "" if came is _ABSENT else f", was {_shown(came)}"
        expected = _EXPECTED.match(what)
        self.add(at, f"must be {_plain(expected['expected'])}{shown}" if expected else f"{what}{shown}")

    def _note_in_table(self, key: str, value: Any, kind: Any, steps: list[str], message: str) -> None:
        """Find the item of a table of which a message speaks without its name."""
        table = _value_at(value, steps)
        inner = get_args(_type_at(kind, steps))
        for name, item in table.items() if isinstance(table, dict) and inner else ():
            before = len(self.wrong)
            self.decode(f"{key}{''.join(steps)}.{name}", item, inner[-1])
            if len(self.wrong) > before:
                return
        self.add(key + "".join(steps), message)

    def add(self, key: str, what: str) -> None:
        """Note a wrong key."""
        self.wrong.append(Wrong(key, what))


def _decoded(kind: type, value: Any) -> Any:
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


def _value_at(value: Any, steps: list[str]) -> Any:
    for step in steps:
        try:
            value = value[int(step[1:-1])] if step[0] == "[" else value[step[1:]]
        except (KeyError, IndexError, TypeError, ValueError):
            return _ABSENT
    return value


def _type_at(kind: Any, steps: list[str]) -> Any:
    """Return the annotated type at a path under a config class; None where it is not known."""
    for step in steps:
        kind = _given(kind)
        if step[0] == ".":
            kind = get_type_hints(kind).get(step[1:]) if isinstance(kind, type) else None
        else:
            kind = next((each for each in reversed(get_args(kind)) if each is not Ellipsis), None)
    return _given(kind)


def _given(kind: Any) -> Any:
    """Return the part of an optional type that is not None, the first config where there are several."""
    parts = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    parts = tuple(part for part in parts if part is not type(None))
    configs = (part for part in parts if hasattr(part, "__struct_fields__"))
    return next(configs, parts[0] if parts else None)


def _plain(kind: str) -> str:
    """Say what msgspec expected in the words of a config file."""
    return re.sub(r"\bobject\b", "table", kind.replace("`", ""))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."
