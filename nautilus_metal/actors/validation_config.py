"""Settings of the ValidationActor, refused at construction where they would fail later."""

from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig
from nautilus_metal.risk.checks import at_least
from nautilus_metal.risk.models import check_options
from nautilus_metal.risk.validation import ModelScore


class ValidationActorConfig(ActorConfig, frozen=True, kw_only=True):
    """Whose figures a `ValidationActor` tests, and what follows.

    Parameters
    ----------
    risk_actors : tuple of str, optional
        IDs of the RiskActors; all of the system where not given.
    day_end : str, optional
        "HH:MM" at which a day ends: the reports at the last close of each day are tested. Where not given each close
        is tested, which for daily bars is the same; needed where bars are shorter than the horizon, in markets that
        never close for instance.
    time_zone : str, default "UTC"
        IANA name of the zone of `day_end`.
    window : int, default 250
        Days of the Basel zone, and of the exact tests.
    figure : str, default "expected_shortfall"
        What the e-process tests: that (with VaR), or "value_at_risk".
    alarm_bound : float, default 20.0
        Wealth at which the alarm is raised: one over the chance with which a right model ever raises it, 5% (Wang,
        Wang and Ziegel 2022, by Ville's inequality, over all days and all levels). 100 makes that 1%, later.
    actual_pnl : bool, default False
        Count the exceptions of the accounts' actual P&L as well: trades, fees, deposits and exchange rates included.
    publish_every : int, default 1
        Days from one `ModelVerdict` to the next; an alarm is published at once.
    switch : tuple of str, optional
        Models for a RiskActor whose model raises the alarm, one after the other.
    switch_options : dict of str to dict, optional
        Their options, by model.
    state_path : str, optional
        A file that keeps the scores from one run to the next, for nodes whose cache has no database.
    """

    risk_actors: tuple[str, ...] = ()
    day_end: str | None = None
    time_zone: str = "UTC"
    window: int = 250
    figure: str = "expected_shortfall"
    alarm_bound: float = 20.0
    actual_pnl: bool = False
    publish_every: int = 1
    switch: tuple[str, ...] = ()
    switch_options: dict[str, dict[str, Any]] = {}
    state_path: str | None = None


def check(config: ValidationActorConfig) -> None:
    """Refuse at construction what would fail later."""
    try:
        ZoneInfo(config.time_zone)
    except (KeyError, OSError, ValueError):
        raise InputError(f"`time_zone` must be a name like Europe/London, was {config.time_zone!r}") from None
    try:
        time.fromisoformat(config.day_end or "00:00")
    except ValueError:
        raise InputError(f"`day_end` must be a time like 17:00, was {config.day_end!r}") from None
    at_least(config.publish_every, 1, "`publish_every`")
    start_score((0.99,), config)
    for model in config.switch:
        check_options(model, config.switch_options.get(model, {}))
    unused = sorted(set(config.switch_options) - set(config.switch))
    if unused:
        raise InputError(f"`switch_options` must be of models in `switch`, was of {unused[0]!r}")
    if len(set(config.switch)) < len(config.switch):
        raise InputError(f"`switch` must name each model once, was {config.switch}")


def start_score(levels: tuple[float, ...], config: ValidationActorConfig) -> ModelScore:
    """Begin a score by the rules of the settings."""
    return ModelScore.start(levels, config.window, figure=config.figure, bound=config.alarm_bound)
