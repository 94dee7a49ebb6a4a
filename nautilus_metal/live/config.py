"""What a live node's config needs of this package, from code and from a file."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nautilus_metal import actors
from nautilus_metal.actors.controller_config import check as check_controller
from nautilus_metal.engine import shared_engine
from nautilus_metal.errors import DeviceError, InputError
from nautilus_metal.host import Actor, NodeSettings, importable_actor, importable_controller, settings_of

SECTION = "metal"
_ROOM = "nautilus_metal.actors"
Settings = Mapping[str, Any] | Any


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of `live_config`: the class that it configures, and whether there may be several."""

    cls: str
    config: str
    several: bool = False


_PARTS = {
    "engine": _Part("MetalEngineActor", "MetalEngineConfig"),
    "conditions": _Part("ConditionsActor", "ConditionsActorConfig"),
    "risk": _Part("RiskActor", "RiskActorConfig", several=True),
    "validation": _Part("ValidationActor", "ValidationActorConfig"),
    "hedge": _Part("HedgeActor", "HedgeActorConfig", several=True),
    "gate": _Part("RiskGate", "RiskGateConfig"),
    "controller": _Part("RiskController", "RiskControllerConfig"),
}


def live_config(
    *,
    engine: Settings | None = None,
    conditions: Settings | None = None,
    risk: Settings | Sequence[Settings] = (),
    validation: Settings | None = None,
    hedge: Settings | Sequence[Settings] = (),
    gate: Settings | None = None,
    controller: Settings | None = None,
) -> dict[str, Any]:
    """Return what a `TradingNodeConfig` needs of this package; data and execution are the user's.

    Parameters
    ----------
    engine : MetalEngineConfig or mapping, optional
        Settings of the engine that all share; defaults where not given.
    conditions : ConditionsActorConfig or mapping, optional
        Settings of the watch over heat and memory pressure; none where not given.
    risk : RiskActorConfig or mapping, or a sequence of them, optional
        Settings of each RiskActor.
    validation : ValidationActorConfig or mapping, optional
        Settings of the ValidationActor, which tests their figures; none where not given.
    hedge : HedgeActorConfig or mapping, or a sequence of them, optional
        Settings of each HedgeActor.
    gate : RiskGateConfig or mapping, optional
        Settings of the pre-trade RiskGate; none where not given.
    controller : RiskControllerConfig or mapping, optional
        Settings of the RiskController; none where not given.

    Returns
    -------
    dict
        "actors", importable configs, the engine's first, and "controller" where there is one:
        ``TradingNodeConfig(**live_config(...), data_clients=...)``.

    Raises
    ------
    InputError
        If a setting is wrong: with its full key, what it must be and what it was; all that are wrong at once.

    Examples
    --------
    >>> parts = live_config(engine={"device": "cpu"}, risk={"levels": [0.99], "model": "student_t"})
    >>> [actor.actor_path for actor in parts["actors"]]
    ['nautilus_metal.actors:MetalEngineActor', 'nautilus_metal.actors:RiskActor']
    """
    checks = NodeSettings(_examine)
    parts = {"engine": engine or {}, "conditions": conditions, "risk": risk}
    parts |= {"validation": validation, "hedge": hedge, "gate": gate, "controller": controller}
    made = _metal(checks, parts, "")
    _refuse(checks, "live_config")
    return made


def node_config(settings: Mapping[str, Any], name: str = "the config") -> Any:
    """Make the config of a `LiveNode` of settings as a file has them.

    That is a `TradingNodeConfig`; under NautilusTrader v2, which has none, a class of this package.

    Parameters
    ----------
    settings : mapping
        Keys of `TradingNodeConfig`, and "metal": a table of `live_config`'s arguments. v2 takes the keys of its own
        `LiveNodeConfig` as well, and refuses those of v1 that it has nothing for.
    name : str
        How a message calls the settings.

    Raises
    ------
    InputError
        If anything is wrong, all of it at once.
    """
    checks = NodeSettings(_examine)
    own = {key: value for key, value in settings.items() if key != SECTION}
    made = _metal(checks, settings[SECTION], f"{SECTION}.") if SECTION in settings else {}
    if "controller" in made and "controller" in own:
        checks.add("controller", f"must not stand beside {SECTION}.controller: a node has one")
    config = checks.make(own, made)
    _refuse(checks, name)
    return config


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON file.

    Raises
    ------
    InputError
        If it is not there, is neither, or is not a table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        settings = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise InputError(f"{path} is not {kind}: {error}") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path} must hold a table of settings, was {type(settings).__name__}")
    return settings


def _metal(checks: NodeSettings, parts: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(parts, Mapping):
        checks.decode(prefix.rstrip("."), parts, dict)
        return {}
    made: dict[str, Any] = {"actors": []}
    for name in parts:
        if name not in _PARTS:
            checks.unknown(f"{prefix}{name}", name, tuple(_PARTS))
    for name, part in _PARTS.items():
        given = parts.get(name, {} if name == "engine" else None)
        if given is None:
            continue
        cls, config = getattr(actors, part.cls), getattr(actors, part.config)
        listed = part.several and isinstance(given, Sequence) and not isinstance(given, str)
        for number, value in enumerate(given if listed else (given,)):
            key = f"{prefix}{name}[{number}]" if listed else f"{prefix}{name}"
            settings = settings_of(value) if isinstance(value, config) else value
            if checks.settings_of(key, settings, cls, config) is None:
                continue
            importable = f"{_ROOM}:{part.cls}", f"{_ROOM}:{part.config}", dict(settings)
            if name == "controller":
                made[name] = importable_controller(*importable)
            else:
                made["actors"].append(importable_actor(*importable))
    return made


def _examine(cls: Any, config: Any) -> None:
    """Let the classes of this package refuse what they would refuse in the running node."""
    if issubclass(cls, actors.MetalEngineActor):
        try:
            shared_engine(config.device, config.precision, config.memory_fraction, config.seed)
        except DeviceError as error:
            raise InputError(f"`device` must be one of this machine, was {config.device!r} ({error})") from None
    elif issubclass(cls, actors.RiskController):
        check_controller(config)
    elif issubclass(cls, Actor) and cls.__module__.startswith("nautilus_metal."):
        cls(config)


def _refuse(checks: NodeSettings, name: str) -> None:
    if checks.wrong:
        raise InputError("\n  ".join([f"{name} has wrong keys", *map(str, checks.wrong)]))
