"""One risk tick: what it needs of the system, taken at one moment, and what is made of that without the system."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nautilus_metal.actors.risk_config import RiskActorConfig
from nautilus_metal.actors.snapshot import Snapshot
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk import RiskAssessment, assess
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.greeks import BookGreeks, book_greeks
from nautilus_metal.risk.stress import STRESSES, stress, stress_grid
from nautilus_metal.risk.what_if import WhatIf, what_if


@dataclass(frozen=True)
class Inputs:
    """The system at one moment.

    Attributes
    ----------
    serial : int
        Counts the snapshots of an actor.
    snapshot : Snapshot
        The book.
    returns : ndarray
        Its return history, shape (periods, instruments); then that of the candidates.
    volatility_returns : mapping of str to ndarray
        By underlying: log changes of its volatility index.
    taken_at, priced_at : int
        UNIX nanoseconds of the snapshot, and of the last price in the history.
    skipped : int
        Requests that got no tick of their own because of this one.
    """

    serial: int
    snapshot: Snapshot
    returns: Array
    volatility_returns: Mapping[str, Array]
    taken_at: int
    priced_at: int
    skipped: int


@dataclass(frozen=True)
class TickFigures:
    """What a tick computes; the rest is None where it is not asked for."""

    risk: RiskAssessment
    greeks: BookGreeks | None
    stresses: "StressFigures | None"
    what_if: WhatIf | None


@dataclass(frozen=True)
class StressFigures:
    """Profits under named stresses, and on a grid, as `StressReport` has them."""

    rows: dict[str, dict[str, float]]
    grid: dict[str, Any]


def tick_figures(inputs: Inputs, config: RiskActorConfig, scenarios: int, engine: ComputeEngine) -> TickFigures:
    """Compute what a RiskActor's settings ask for; from any thread.

    Parameters
    ----------
    inputs : Inputs
        The system.
    config : RiskActorConfig
        The settings.
    scenarios : int
        In the place of the settings' own.
    engine : ComputeEngine
        Where to compute.
    """
    snapshot, book = inputs.snapshot, inputs.snapshot.book
    asked: dict[str, Any] = {
        "model": config.model,
        "levels": config.levels,
        "horizon": config.horizon,
        "scenarios": scenarios,
        "seed": config.seed,
        "engine": engine,
        "sampler": config.sampler,
        "periods_per_year": config.periods_per_year,
        "vol_of_vol": config.vol_of_vol,
        "spot_vol_correlation": config.spot_vol_correlation,
        "volatility_returns": inputs.volatility_returns,
        **config.model_options,
    }
    risk = assess(book, inputs.returns[:, : len(book.instruments)], **asked)
    greeks = book_greeks(book) if snapshot.options or config.publish_greeks else None
    stresses = stress_figures(snapshot, config, config.stresses) if config.stresses or config.stress_spots else None
    asks = what_if(book, inputs.returns, candidates=snapshot.candidates, **asked) if config.keep_scenarios else None
    return TickFigures(risk, greeks, stresses, asks)


def stress_figures(snapshot: Snapshot, config: RiskActorConfig, names: tuple[str, ...]) -> StressFigures:
    """Revalue a book under named stresses, and on the grid of the settings where they have one."""
    book, grid = snapshot.book, {}
    rows = {}
    for name in names:
        row = STRESSES[name]
        rows[name] = {"profit": stress(book, name), "spot": row.spot, "volatility": row.volatility, "days": row.days}
    if config.stress_spots:
        axes = config.stress_spots, config.stress_volatilities, config.stress_days
        profits = stress_grid(book, *axes).tolist()
        names_of_axes = ("spots", "volatilities", "days")
        grid = {name: list(axis) for name, axis in zip(names_of_axes, axes, strict=True)} | {"profits": profits}
    return StressFigures(rows, grid)


class Pace:
    """How many scenarios a tick can afford: fewer after one that missed its deadline, more again when there is time.

    Parameters
    ----------
    scenarios : int
        Where there is time.
    least : int
        Below which the levels have no tail.
    deadline : float or None
        Seconds; None for no limit.
    """

    _AHEAD = 8  # a first answer is made from an eighth of the scenarios

    def __init__(self, scenarios: int, least: int, deadline: float | None) -> None:
        self._scenarios, self._least, self._deadline = scenarios, least, deadline
        self.reset()

    def reset(self) -> None:
        """Forget how long ticks take."""
        self._now = self._scenarios
        self._seconds: float | None = None

    def stages(self) -> tuple[int, ...]:
        """Scenario counts to compute in turn: where the deadline is in doubt, a first answer from a few of them."""
        if self._deadline is None:
            return (self._now,)
        first = max(self._least, self._now // self._AHEAD)
        unsure = self._seconds is None or self._seconds > self._deadline / 2
        return (first, self._now) if unsure and first < self._now else (self._now,)

    def took(self, seconds: float) -> None:
        """Note how long a tick took, or for how long it has been running in vain."""
        if self._deadline is None:
            return
        if seconds > self._deadline:
            self._now, self._seconds = max(self._least, self._now // 2), None
        elif seconds < self._deadline / 4 and self._now < self._scenarios:
            self._now, self._seconds = min(self._scenarios, self._now * 2), None
        else:
            self._seconds = seconds
