"""What is wrong with the settings of a live node: which key, what it must be and what it was."""

import difflib
import importlib
import re
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

_ABSENT: Any = object()
_ANY = "[...]"  # how msgspec writes the key of a table
_AT = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`(?P<key>[^`]*)`)?$", re.DOTALL)
_OWN = re.compile(r"^`(?P<name>\w+)`(?: of (?P<of>\S+))? must (?P<what>.*)$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>\w+)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>\w+)`$")
_EXPECTED = re.compile(r"^Expected (?P<expected>.*?)(?:, got .*)?$")
_QUOTED = 60  # characters of a value that a message repeats
Examine = Callable[[type, Any], None]


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


class Checks:
    """Collects what is `wrong`; each version of the host says how its settings are decoded.

    Parameters
    ----------
    examine : callable
        Called with the class and the made config of every actor, strategy and controller; raises a ValueError where
        the class itself would refuse the config later.
    """

    def __init__(self, examine: Examine) -> None:
        self._examine = examine
        self.wrong: list[Wrong] = []

    def unknown(self, key: str, name: str, known: Sequence[str]) -> None:
        """Note a key that is not among those known."""
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        self.add(key, f"unknown key, {hint}")

    def decode(self, key: str, value: Any, kind: Any) -> Any:
        """Decode one part of the settings; a wrong key is noted, and None is returned."""
        try:
            return self._decoded(value, kind)
        except msgspec.ValidationError as error:
            self._note(key, value, kind, str(error))
        except Exception as error:  # of a foreign config's own checks
            self._note(key, value, kind, f"{type(error).__name__}: {error}")
        return None

    def settings_of(self, key: str, value: Any, cls: type, config: type) -> Any:
        """Check the settings of a class: their types, then by the class's own checks."""
        made = self.decode(key, value, config)
        if made is not None:
            try:
                self._examine(cls, made)
            except ValueError as error:
                self._note(key, value, None, str(error))
        return made

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

    def named(self, key: str) -> bool:
        """Note a client whose name the host would not take."""
        name = key.rpartition(".")[2]
        good = name.isascii() and bool(name.strip())
        if not good:
            self.add(key, f"must be named by ASCII letters, was {name!r}")
        return good

    def each(self, key: str, value: Any, kind: type, check: Callable[[str, Any], Any]) -> Any:
        if kind is list and isinstance(value, list):
            return [check(f"{key}[{number}]", item) for number, item in enumerate(value)]
        if kind is dict and isinstance(value, dict):
            return {name: check(f"{key}.{name}", item) for name, item in value.items()}
        return self.add(key, f"must be {'array' if kind is list else 'table'}, was {shown(value)}")

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
        said = "" if came is _ABSENT else f", was {shown(came)}"
        expected = _EXPECTED.match(what)
        self.add(at, f"must be {_plain(expected['expected'])}{said}" if expected else f"{what}{said}")

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

    def _decoded(self, value: Any, kind: Any) -> Any:
        """Decode a value; raise msgspec's error, or a ValueError, where that fails."""
        raise NotImplementedError


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


def shown(value: Any) -> str:
    """Return a value as a message repeats it."""
    text = repr(value)
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."
