"""A model's score while it is in use: one more day at a time, from a state that survives a restart."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation.coverage import traffic_light
from nautilus_metal.risk.validation.coverage_null import CoverageNull
from nautilus_metal.risk.validation.e_process import EProcess
from nautilus_metal.risk.validation.laws import normal_law
from nautilus_metal.risk.validation.scores import fissler_ziegel_score, quantile_score
from nautilus_metal.risk.validation.shortfall import acerbi_szekely, shortfall_statistics

Days = tuple[tuple[float, float, float], ...]  # P&L, VaR and expected shortfall of each, oldest first
_SHARES = (1, 2, 4)  # the tests are made on the last whole, half or quarter of the window: few laws to simulate


@dataclass(frozen=True)
class LevelVerdict:
    """What the days so far say of one level; None where they are too few.

    Attributes
    ----------
    days, exceptions : int
        Days scored, and those whose loss exceeded VaR.
    expected : float
        Exceptions that a right model has on average.
    actual_days, actual_exceptions : int
        The same of the actual P&L, as far as that is known.
    shortfall_days : int
        Days whose expected shortfall can be tested: it is positive, and above VaR.
    quantile_score, shortfall_score : float or None
        Means of `quantile_score`, and of `fissler_ziegel_score`.
    log_wealth : float
        Of the e-process.
    alarm : bool
        Whether that has ever reached its bound.
    recent_days, recent_exceptions : int
        Of the window.
    zone : str or None
        Basel traffic light of the window.
    tested_days : int
        Days of the window that the following are made of.
    kupiec_p, christoffersen_p : float or None
        Exact, from `CoverageNull`.
    z, z_critical : float or None
        Acerbi and Szekely's unconditional statistic, and where it rejects at 5% if P&L is normal with mean zero.
    var, es : float or None
        Of the last day scored.
    """

    days: int
    exceptions: int
    expected: float
    actual_days: int
    actual_exceptions: int
    shortfall_days: int
    quantile_score: float | None
    shortfall_score: float | None
    log_wealth: float
    alarm: bool
    recent_days: int
    recent_exceptions: int
    zone: str | None
    tested_days: int
    kupiec_p: float | None
    christoffersen_p: float | None
    z: float | None
    z_critical: float | None
    var: float | None
    es: float | None


@dataclass(frozen=True)
class LevelScore:
    """The running score of one level: sums over all days, and the days of the window.

    Attributes
    ----------
    e_process : EProcess
        The sequential test, with the level.
    window : int
        Days that are kept.
    recent : tuple of tuple
        Those days.
    days, exceptions, actual_days, actual_exceptions, shortfall_days : int
        As in `LevelVerdict`.
    quantile_sum, shortfall_sum : float
        Sums of the scores.
    """

    e_process: EProcess
    window: int
    recent: Days = ()
    days: int = 0
    exceptions: int = 0
    actual_days: int = 0
    actual_exceptions: int = 0
    shortfall_days: int = 0
    quantile_sum: float = 0.0
    shortfall_sum: float = 0.0

    def update(self, pnl: float, var: float, es: float, actual: float | None = None) -> "LevelScore":
        """Return the score after one more day; arguments as in `ModelScore.update`."""
        level, bets = self.e_process.level, self.e_process
        testable = es > var and es > 0
        if testable or bets.figure == "value_at_risk":
            bets = bets.update(pnl, var, es if testable else None)
        return replace(
            self,
            e_process=bets,
            recent=(*self.recent, (pnl, var, es))[-self.window :],
            days=self.days + 1,
            exceptions=self.exceptions + (-pnl > var),
            actual_days=self.actual_days + (actual is not None),
            actual_exceptions=self.actual_exceptions + (actual is not None and -actual > var),
            shortfall_days=self.shortfall_days + testable,
            quantile_sum=self.quantile_sum + float(quantile_score([pnl], [var], level)[0]),
            shortfall_sum=self.shortfall_sum
            + (float(fissler_ziegel_score([pnl], [var], [es], level)[0]) if testable else 0.0),
        )

    def verdict(self, engine: ComputeEngine) -> LevelVerdict:
        """Test what is known by now."""
        level = self.e_process.level
        recent = np.array(self.recent).reshape(-1, 3)
        hits = -recent[:, 0] > recent[:, 1]
        whole = [self.window // share for share in _SHARES if 2 <= self.window // share <= len(hits)]
        tested = max(whole, default=0)
        coverage = CoverageNull(tested, level).test(hits[-tested:]) if tested else None
        z = _unconditional(recent[-tested:], level) if tested else None
        return LevelVerdict(
            days=self.days,
            exceptions=self.exceptions,
            expected=self.days * (1 - level),
            actual_days=self.actual_days,
            actual_exceptions=self.actual_exceptions,
            shortfall_days=self.shortfall_days,
            quantile_score=self.quantile_sum / self.days if self.days else None,
            shortfall_score=self.shortfall_sum / self.shortfall_days if self.shortfall_days else None,
            log_wealth=self.e_process.log_wealth,
            alarm=self.e_process.alarm,
            recent_days=len(hits),
            recent_exceptions=int(hits.sum()),
            zone=traffic_light(int(hits.sum()), len(hits), level) if len(hits) else None,
            tested_days=tested,
            kupiec_p=coverage["kupiec"].p_value if coverage else None,
            christoffersen_p=coverage["christoffersen"].p_value if coverage else None,
            z=z,
            z_critical=None if z is None else _critical(tested, level, engine),
            var=float(recent[-1, 1]) if len(recent) else None,
            es=float(recent[-1, 2]) if len(recent) else None,
        )


@dataclass(frozen=True)
class ModelScore:
    """The running score of one model at all its levels.

    The alarm is one for the model: the mean of the levels' e-processes is one itself, however they depend on each
    other, so that a right model raises it with a chance of at most 1 / bound, ever, for any number of levels.

    Attributes
    ----------
    levels : tuple of LevelScore
        Ascending.
    highest : float
        Natural logarithm of the highest mean wealth so far.

    References
    ----------
    Vovk and Wang (2021), "E-values: calibration, combination and applications", Annals of Statistics 49(3): the mean
    of e-values is the merging function that no other symmetric one beats by more than a constant.

    Examples
    --------
    >>> score = ModelScore.start((0.95,), window=100)
    >>> for day in range(40):
    ...     score = score.update(-3.0 if day % 4 == 0 else 0.5, {0.95: (1.0, 1.2)})
    >>> score.levels[0].exceptions, score.alarm
    (10, True)
    """

    levels: tuple[LevelScore, ...]
    highest: float = 0.0

    @classmethod
    def start(cls, levels: tuple[float, ...], window: int = 250, **rules: Any) -> "ModelScore":
        """Begin without days.

        Parameters
        ----------
        levels : tuple of float
            Confidence levels.
        window : int
            Days of zone and tests; Basel's is 250.
        **rules
            `figure`, `method`, `bound`, `window` ... of `EProcess`.
        """
        if not levels:
            raise InputError("`levels` must hold at least one level, was empty")
        if window < 8:
            raise InputError(f"`window` must be at least 8 days, was {window}")
        return cls(tuple(LevelScore(EProcess(level, **rules), window) for level in sorted(levels)))

    @property
    def bound(self) -> float:
        """Mean wealth at which the alarm is raised."""
        return self.levels[0].e_process.bound

    @property
    def days(self) -> int:
        """Days scored."""
        return self.levels[0].days

    @property
    def log_wealth(self) -> float:
        """Natural logarithm of the mean of the levels' wealth."""
        logs = np.array([one.e_process.log_wealth for one in self.levels])
        return float(np.logaddexp.reduce(logs) - math.log(len(logs)))

    @property
    def alarm(self) -> bool:
        """Whether the mean wealth has ever reached the bound."""
        return self.highest >= math.log(self.bound)

    def update(
        self, pnl: float, figures: Mapping[float, tuple[float, float]], actual: float | None = None
    ) -> "ModelScore":
        """Return the score after one more day.

        Parameters
        ----------
        pnl : float
            The day's clean profit (positive) or loss.
        figures : mapping of float to tuple
            By level: VaR and expected shortfall stated for that day beforehand, positive losses. A shortfall that is
            not positive and above VaR (of long options that can lose no more) is left out of the tests of shortfall.
        actual : float, optional
            The day's actual P&L.

        Raises
        ------
        InputError
            If a level is missing.
        """
        missing = [one.e_process.level for one in self.levels if one.e_process.level not in figures]
        if missing:
            raise InputError(f"`figures` must hold every level, {missing[0]:g} is missing")
        levels = tuple(one.update(pnl, *figures[one.e_process.level], actual) for one in self.levels)
        after = replace(self, levels=levels)
        return replace(after, highest=max(self.highest, after.log_wealth))

    def verdict(self, engine: ComputeEngine) -> dict[float, LevelVerdict]:
        """Test what is known by now, by level.

        Parameters
        ----------
        engine : ComputeEngine
            Where the laws of the statistics are simulated, once for each number of tested days and level.
        """
        return {one.e_process.level: one.verdict(engine) for one in self.levels}

    def state(self) -> dict[str, Any]:
        """Return plain values that `restore` makes the same score of."""
        rows = [vars(one) | {"e_process": one.e_process.to_json(), "recent": list(one.recent)} for one in self.levels]
        return {"levels": rows, "highest": self.highest}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "ModelScore":
        """Read what `state` returned; an `InputError` where it is not that."""
        try:
            rows = [dict(row) for row in state["levels"]]
            return cls(
                tuple(
                    LevelScore(
                        **row
                        | {
                            "e_process": EProcess.from_json(row["e_process"]),
                            "recent": tuple(tuple(map(float, day)) for day in row["recent"]),
                        }
                    )
                    for row in rows
                ),
                float(state["highest"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"`state` must be that of a running score, was not: {error}") from error


def _unconditional(days: NDArray[np.float64], level: float) -> float | None:
    """Acerbi and Szekely's second statistic of the days whose shortfall can be tested; None if one cannot."""
    pnl, var, es = days.T
    if not ((es > var) & (es > 0)).all():
        return None
    return shortfall_statistics(pnl, var, es, level)["unconditional"]


@lru_cache(maxsize=64)
def _critical(days: int, level: float, engine: ComputeEngine) -> float | None:
    """Its critical value for a normal P&L of mean zero, on which the scale of a day has no influence."""
    law = normal_law()
    stated = np.full(days, law.value_at_risk(level)), np.full(days, law.expected_shortfall(level))
    return acerbi_szekely(np.zeros(days), *stated, level, engine=engine).unconditional.critical_value
