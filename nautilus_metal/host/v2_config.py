"""Settings of actors and strategies under NautilusTrader 2.x, as for 1.x: annotated fields with defaults, frozen."""

from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec
from nautilus_trader.common import DataActorConfig
from nautilus_trader.trading import StrategyConfig as HostStrategyConfig

from nautilus_metal.errors import InputError

_REFUSED: dict[type, InputError] = {}  # where settings were refused, the host tries to set them one by one


class Settings:
    """What 1.x's configs are: fields by annotation, from code or from a file, frozen, and no others.

    The host's own configs take any keyword and ignore it.

    Raises
    ------
    InputError
        If a name is unknown, or a value is not of its type.
    """

    def __init_subclass__(cls, frozen: bool = True, kw_only: bool = True) -> None:
        super().__init_subclass__()

    def __new__(cls, **_settings: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, **settings: Any) -> None:
        try:
            self._take(settings)
        except InputError as error:
            _REFUSED[type(self)] = error
            raise

    def _take(self, settings: dict[str, Any]) -> None:
        hints = fields_of(type(self))
        for name in settings:
            if name not in hints:
                raise InputError(f"`{name}` must be one of {', '.join(hints)}: {type(self).__name__} has no other")
        for name, hint in hints.items():
            if name in settings:
                value = _named(settings[name], hint, f"`{name}` of {type(self).__name__}")
            elif hasattr(type(self), name):
                value = getattr(type(self), name)
            else:
                raise InputError(f"`{name}` of {type(self).__name__} must be given")
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check what the types do not say."""

    def __setattr__(self, name: str, value: Any) -> None:
        frozen = AttributeError(f"{type(self).__name__} is frozen: `{name}` cannot be set")
        raise _REFUSED.pop(type(self), frozen)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), str(vars(self))))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class ActorConfig(Settings, DataActorConfig):
    """Settings of an actor.

    Parameters
    ----------
    component_id : str, optional
        The actor's ID; the name of its class where not given.
    log_events, log_commands : bool, default True
        As the host has them.
    """

    component_id: str | None = None
    log_events: bool = True
    log_commands: bool = True


class StrategyConfig(Settings, HostStrategyConfig):
    """Settings of a strategy.

    Parameters
    ----------
    strategy_id, order_id_tag : str, optional
        Its name, and the end of that; the name of its class, and "000", where not given.
    use_uuid_client_order_ids, use_hyphens_in_client_order_ids : bool, default False and True
        As the host has them.
    manage_contingent_orders, manage_gtd_expiry, manage_stop : bool, default False
        As the host has them.
    log_events, log_commands : bool, default True
        As the host has them.
    """

    strategy_id: str | None = None
    order_id_tag: str | None = None
    use_uuid_client_order_ids: bool = False
    use_hyphens_in_client_order_ids: bool = True
    manage_contingent_orders: bool = False
    manage_gtd_expiry: bool = False
    manage_stop: bool = False
    log_events: bool = True
    log_commands: bool = True

    def _take(self, settings: dict[str, Any]) -> None:
        given, tag = settings.get("strategy_id"), settings.get("order_id_tag") or "000"
        if given is not None and "-" not in given:  # 1.x adds the tag; here the host takes the name as it is
            settings = settings | {"strategy_id": f"{given}-{tag}"}
        super()._take(settings)


def settings_of(config: Settings) -> dict[str, Any]:
    """Return what a config holds as it stands in a file."""
    settings: dict[str, Any] = msgspec.to_builtins(vars(config), enc_hook=str, str_keys=True)
    return settings


def fields_of(cls: type) -> dict[str, Any]:
    """Return the types of a config's fields by name."""
    return {name: hint for name, hint in get_type_hints(cls).items() if not name.startswith("_")}


def decoded(value: Any, hint: Any) -> Any:
    """Return a value as a type has it.

    Raises
    ------
    msgspec.ValidationError
        If it is not of that type.
    """
    return msgspec.convert(value, hint, dec_hook=_parsed, str_keys=True)


def _named(value: Any, hint: Any, name: str) -> Any:
    try:
        return decoded(value, hint)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"{name} must be {getattr(hint, '__name__', hint)}, was {value!r}: {error}") from None


def _parsed(kind: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if isinstance(value, str):
        members = {_plain(name): getattr(kind, name) for name in dir(kind) if name.isupper()}
        if _plain(value) in members:
            return members[_plain(value)]
        try:
            return kind.from_str(value)
        except (AttributeError, ValueError) as error:
            raise ValueError(f"must be {kind.__name__}: {error}") from None
    if isinstance(value, Mapping):
        return kind(**value)
    raise ValueError(f"Expected {kind.__name__}")


def _plain(name: str) -> str:
    """Return the name of an enumeration's member as 1.x and 2.x have it alike: left-open, LEFT_OPEN."""
    return name.replace("-", "").replace("_", "").lower()
