"""The settings of an AllocationActor, and their checks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig, BarType
from nautilus_metal.risk.allocation import OBJECTIVES, Constraints, Group
from nautilus_metal.risk.allocation_terms import terms_of
from nautilus_metal.risk.checks import above, at_least, finite

EQUAL_WEIGHT = "equal_weight"
SCHEDULES = ("daily", "weekly", "monthly", "quarterly")


class AllocationActorConfig(ActorConfig, frozen=True, kw_only=True):
    """What an `AllocationActor` allocates to, by what, and when.

    Parameters
    ----------
    bar_types : tuple of BarType
        Bars of what may be held, one type for each instrument; their simple returns are the scenarios.
    objective : str, default "minimum_cvar"
        One of `nautilus_metal.risk.allocation.OBJECTIVES`, or "equal_weight".
    schedule : str, optional
        "daily", "weekly", "monthly" (the default) or "quarterly": a target after the first bars of each such period,
        by UTC date, and after the first bars that are history enough. None for the timer alone.
    timer_seconds : float, optional
        A target at this interval as well.
    settle_seconds : float, default 1.0
        Live, how long a period's target waits for instruments whose bar has not come yet.
    state_path : str, optional
        A file that keeps history, the last target and its period between runs, written when the period's target is
        published and when the actor stops, for systems whose host keeps no state.
    window : int, default 1000
        Returns of history to use.
    min_observations : int, default 250
        An instrument with fewer is uncovered.
    lower, upper : float or dict of str to float, default 0.0 and 1.0
        Bounds of weights, for all or by instrument.
    budget : float, default 1.0
        Sum of all weights.
    groups : dict of str to dict, optional
        By name: `assets` (instruments), `lower` and `upper` of what they hold together.
    turnover : float, optional
        The most that may be traded at once: sum of absolute changes of weights.
    costs : float or dict of str to float, default 0.0
        Of trading a weight of 1.
    target_return : float, optional
        The least expected return, per bar.
    risk_aversion, level, risk_free_rate, tolerance
        As in `nautilus_metal.risk.allocation.optimise_many`; the rate is per bar.
    """

    bar_types: tuple[BarType, ...]
    objective: str = "minimum_cvar"
    schedule: str | None = "monthly"
    timer_seconds: float | None = None
    settle_seconds: float = 1.0
    state_path: str | None = None
    window: int = 1000
    min_observations: int = 250
    lower: float | dict[str, float] = 0.0
    upper: float | dict[str, float] = 1.0
    budget: float = 1.0
    groups: dict[str, dict[str, Any]] = {}
    turnover: float | None = None
    costs: float | dict[str, float] = 0.0
    target_return: float | None = None
    risk_aversion: float = 1.0
    level: float = 0.95
    risk_free_rate: float = 0.0
    tolerance: float = 1e-5


def check_config(config: AllocationActorConfig) -> None:
    """Refuse at construction what would fail at the first target."""
    names = [str(bar_type.instrument_id) for bar_type in config.bar_types]
    if not names or len(set(names)) < len(names):
        raise InputError(f"`bar_types` must name one bar type for each of some instruments, was {names}")
    if config.objective not in (*OBJECTIVES, EQUAL_WEIGHT):
        known = ", ".join((*OBJECTIVES, EQUAL_WEIGHT))
        raise InputError(f"`objective` must be one of {known}, was {config.objective!r}")
    if config.schedule is not None and config.schedule not in SCHEDULES:
        raise InputError(f"`schedule` must be one of {', '.join(SCHEDULES)} or None, was {config.schedule!r}")
    if config.schedule is None and config.timer_seconds is None:
        raise InputError("`timer_seconds` must be given where `schedule` is None, was None")
    if config.timer_seconds is not None:
        above(config.timer_seconds, 0.0, "`timer_seconds`")
    at_least(config.settle_seconds, 0.0, "`settle_seconds`")
    if not 2 <= config.min_observations <= config.window:
        raise InputError(
            f"`min_observations` must be from 2 to `window` ({config.window}) returns, was {config.min_observations}"
        )
    above(config.risk_aversion, 0.0, "`risk_aversion`")
    above(config.tolerance, 0.0, "`tolerance`")
    finite(config.risk_free_rate, "`risk_free_rate`")
    if not (0.5 < config.level < 1 and config.min_observations * (1 - config.level) >= 1 - 1e-9):
        raise InputError(
            f"`level` must be between 0.5 and 1 with one of {config.min_observations} scenarios beyond, "
            f"was {config.level}"
        )
    terms_of(constraints_of(config, names, {}), names, np.zeros(len(names)))


def constraints_of(
    config: AllocationActorConfig, names: Sequence[str], previous: Mapping[str, float]
) -> Constraints:
    """Return the constraints on some of the instruments; what a group holds of others is left out of its sum."""
    groups = {}
    for name, given in config.groups.items():
        unknown = set(given) - {"assets", "lower", "upper"}
        if unknown or not given.get("assets") or isinstance(given.get("assets"), str):
            raise InputError(f"`groups`: {name} must have `assets`, `lower` and `upper`, was {given}")
        known = {str(bar_type.instrument_id) for bar_type in config.bar_types}
        for asset in given["assets"]:
            if asset not in known:
                raise InputError(f"`groups`: {name} must name instruments of `bar_types`, was for {asset!r}")
        members = [asset for asset in given["assets"] if asset in names]
        if members:
            lower, upper = given.get("lower", -math.inf), given.get("upper", math.inf)
            groups[name] = Group(members, lower, upper)

    def some(setting: float | dict[str, float]) -> float | dict[str, float]:
        if not isinstance(setting, dict):
            return setting
        return {name: value for name, value in setting.items() if name in names}

    return Constraints(
        lower=some(config.lower),
        upper=some(config.upper),
        budget=config.budget,
        groups=groups,
        previous={name: previous.get(name, 0.0) for name in names},
        turnover=config.turnover,
        costs=some(config.costs),
        target_return=config.target_return,
    )
