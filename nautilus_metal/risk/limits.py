"""Limits on risk figures: one word at each crossing, none in between."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nautilus_metal.errors import InputError

MEASURES = ("var", "es")


class Crossing(NamedTuple):
    """A figure crossed its limit: `state` is "breach" upwards, "clear" when it is back at or under it."""

    measure: str
    level: float
    limit: float
    value: float
    state: str


class LimitWatch:
    """Remembers which limits are broken.

    Parameters
    ----------
    limits : mapping
        By measure ("var", "es"): by confidence level, the limit in the base currency.

    Raises
    ------
    InputError
        If a measure is unknown or a limit is not positive.
    """

    def __init__(self, limits: Mapping[str, Mapping[float, float]]) -> None:
        for measure, by_level in limits.items():
            if measure not in MEASURES:
                raise InputError(f"`limits` must be on {' or '.join(MEASURES)}, was on {measure!r}")
            for level, limit in by_level.items():
                if not limit > 0:
                    raise InputError(f"`{measure}_limit` at {level} must be positive, was {limit}")
        self.limits = {(measure, level): limit for measure, rows in limits.items() for level, limit in rows.items()}
        self.broken: set[tuple[str, float]] = set()

    def reset(self) -> None:
        """Forget which limits are broken."""
        self.broken.clear()

    def check(self, figures: Mapping[str, Mapping[float, float]]) -> Iterator[Crossing]:
        """Compare figures with the limits and yield what has changed since the last call.

        Parameters
        ----------
        figures : mapping
            By measure, by level. A figure that is missing is unknown: its limit keeps its state.
        """
        for (measure, level), limit in self.limits.items():
            value = figures.get(measure, {}).get(level)
            if value is None:
                continue
            was, now = (measure, level) in self.broken, value > limit
            if now and not was:
                self.broken.add((measure, level))
                yield Crossing(measure, level, limit, value, "breach")
            elif was and not now:
                self.broken.discard((measure, level))
                yield Crossing(measure, level, limit, value, "clear")
