"""A sequential alarm on VaR or expected shortfall: bets against the model, whose wealth grows only if it is wrong."""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation.result import check_level, series_of, tail_series

Array = NDArray[np.float64]
FIGURES = ("expected_shortfall", "value_at_risk")
METHODS = ("grel", "gree", "mixture")


@dataclass(frozen=True)
class EProcess:
    r"""A running e-backtest: its state, from which `update` makes the next day's.

    A day's e-value has mean at most one if the model is right, whatever the distribution:
    :math:`e_t = (L_t - v_t)^+ / ((1 - level)(r_t - v_t))` for the shortfall r stated with VaR v (VaR too low counts
    against it as well), and :math:`1\{L_t > v_t\} / (1 - level)` for VaR. Betting a share :math:`\lambda_t` of the
    wealth, known before the day, :math:`M_t = M_{t-1}(1 - \lambda_t + \lambda_t e_t)` then stays below 1 / a for ever
    with a chance of at least 1 - a (Ville), however often one looks: no significance is used up by watching daily.
    The share follows the past by one step of Taylor's expansion of the logarithm,

    .. math:: \lambda_t = \frac{\bar e - 1}{\overline{(e - 1)^2}} \quad \text{within } [0, \gamma],

    over e-values of a window of past days: as they were ("gree"), or of the past losses against today's figures
    ("grel", which sees at once when a model's figures fall). "mixture" holds half of its money in each.

    Parameters
    ----------
    level : float
        Confidence level of the figures.
    figure : {"expected_shortfall", "value_at_risk"}
        What is tested.
    method : {"mixture", "grel", "gree"}
        How bets are made.
    bound : float
        Wealth from which on `alarm` is raised, above 1; 20 rejects a right model at most 5% of the time, ever.
    window : int
        Past days that bets look at, at least 1.
    largest_bet : float
        The bound :math:`\gamma` of a bet, in (0, 1).

    Attributes
    ----------
    days : int
        Days seen.
    log_wealth, highest : float
        Natural logarithm of the wealth now, and of the highest so far.
    losses, e_values : tuple of float
        Of the window, oldest first.
    log_wealths : tuple of float
        Of the two methods, "grel" and "gree".

    References
    ----------
    Wang, Wang and Ziegel (2022), "E-backtesting", arXiv:2209.00991: the e-statistics, the three methods (there GREL,
    GREE and GREM), the expansion, a window of 500 days and bets up to one half.

    Examples
    --------
    >>> state = EProcess(0.975)
    >>> for loss in [0.5, 3.0, 4.0] * 5:
    ...     state = state.update(-loss, var=1.0, es=1.2)
    >>> state.alarm, EProcess.from_json(state.to_json()) == state
    (True, True)
    """

    level: float
    figure: str = "expected_shortfall"
    method: str = "mixture"
    bound: float = 20.0
    window: int = 500
    largest_bet: float = 0.5
    days: int = 0
    highest: float = 0.0
    losses: tuple[float, ...] = ()
    e_values: tuple[float, ...] = ()
    log_wealths: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_level(self.level)
        for name, value, known in (("figure", self.figure, FIGURES), ("method", self.method, METHODS)):
            if value not in known:
                raise InputError(f"`{name}` must be one of {', '.join(map(repr, known))}, was {value!r}")
        if not 1 < self.bound < math.inf:
            raise InputError(f"`bound` must be above 1, was {self.bound}")
        if self.window < 1:
            raise InputError(f"`window` must be at least 1 day, was {self.window}")
        if not 0 < self.largest_bet < 1:
            raise InputError(f"`largest_bet` must lie between 0 and 1, was {self.largest_bet}")

    @property
    def log_wealth(self) -> float:
        """Natural logarithm of the wealth."""
        return float(_mixed(np.array(self.log_wealths), self.method))

    @property
    def alarm(self) -> bool:
        """Whether the wealth has ever reached the bound."""
        return self.highest >= math.log(self.bound)

    @property
    def p_value(self) -> float:
        """One over the highest wealth: valid at any time, however often it is looked at."""
        return math.exp(-self.highest)

    def update(self, pnl: float, var: float, es: float | None = None) -> "EProcess":
        """Return the state after one more day.

        Parameters
        ----------
        pnl : float
            The day's profit (positive) or loss.
        var : float
            Value at risk stated for that day beforehand, a positive loss.
        es : float, optional
            Expected shortfall stated with it, needed where that is tested.
        """
        loss, stated, shortfall = _checked(self.figure, [pnl], [var], None if es is None else [es])
        past = np.array(self.losses), np.array(self.e_values)
        wealths, today = _step(self, past, np.array(self.log_wealths), loss[0], stated[0], shortfall[0])
        return replace(
            self,
            days=self.days + 1,
            highest=max(self.highest, float(_mixed(wealths, self.method))),
            losses=(*self.losses, float(loss[0]))[-self.window :],
            e_values=(*self.e_values, float(today))[-self.window :],
            log_wealths=(float(wealths[0]), float(wealths[1])),
        )

    def to_json(self) -> str:
        """Write the state as text that `from_json` reads back exactly."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "EProcess":
        """Read what `to_json` wrote; an `InputError` where it is not that."""
        try:
            read: dict[str, Any] = json.loads(text)
            if set(read) != {field.name for field in fields(cls)}:
                raise ValueError("other fields")
            series = {name: tuple(map(float, read[name])) for name in ("losses", "e_values", "log_wealths")}
            return cls(**(read | series))
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"`text` must be the state of an e-process, was not: {error}") from error


def e_process(pnl: ArrayLike, var: ArrayLike, es: ArrayLike | None, level: float, **options: Any) -> Array:
    """Run an e-backtest over whole series.

    Parameters
    ----------
    pnl, var, es : array_like
        As in `EProcess.update`, shape (days,).
    level : float
        Confidence level.
    **options
        Other parameters of `EProcess`.

    Returns
    -------
    ndarray
        Natural logarithm of the wealth after each day, shape (days,).
    """
    rules = EProcess(level, **options)
    loss, stated, shortfall = _checked(rules.figure, pnl, var, es)
    return e_process_many(loss[None], stated, shortfall, rules)[0]


def e_process_many(losses: Array, var: Array, es: Array, rules: EProcess) -> Array:
    """Run many histories of losses, shape (histories, days), against one series of figures; logarithms of wealth."""
    wealths = np.zeros((2, len(losses)))
    e_values, path = np.empty_like(losses), np.empty_like(losses)
    for day in range(losses.shape[1]):
        window = slice(max(0, day - rules.window), day)
        past = losses[:, window], e_values[:, window]
        wealths, e_values[:, day] = _step(rules, past, wealths, losses[:, day], var[day], es[day])
        path[:, day] = _mixed(wealths, rules.method)
    return path


def _checked(figure: str, pnl: ArrayLike, var: ArrayLike, es: ArrayLike | None) -> tuple[Array, Array, Array]:
    if figure == "value_at_risk":
        profit, stated = series_of("`pnl` and `var`", pnl=pnl, var=var)
        return -profit, stated, stated
    if es is None:
        raise InputError("`es` must be given where expected shortfall is tested, was None")
    profit, stated, shortfall = tail_series(pnl, var, es)
    return -profit, stated, shortfall


def _step(
    rules: EProcess, past: tuple[Array, Array], log_wealths: Array, loss: Array, var: float, es: float
) -> tuple[Array, Array]:
    """Bet on one day: new logarithms of both methods' wealth, shape (2, ...), and the day's e-value."""
    losses, e_values = past
    today = _e_value(rules, loss, var, es)
    if not losses.shape[-1]:
        return log_wealths, today
    bets = np.stack([_bet(rules, _e_value(rules, losses, var, es)), _bet(rules, e_values)])
    return log_wealths + np.log1p(bets * (today - 1)), today


def _e_value(rules: EProcess, loss: Array, var: float, es: float) -> Array:
    if rules.figure == "value_at_risk":
        return (loss > var) / (1 - rules.level)
    return np.asarray(np.maximum(loss - var, 0.0) / ((1 - rules.level) * (es - var)))


def _bet(rules: EProcess, e_values: Array) -> Array:
    gain = e_values - 1
    square = (gain * gain).mean(axis=-1)
    return np.asarray((gain.mean(axis=-1) / np.where(square > 0, square, 1.0)).clip(0.0, rules.largest_bet))


def _mixed(log_wealths: Array, method: str) -> Array:
    if method == "mixture":
        return np.asarray(np.logaddexp(log_wealths[0], log_wealths[1]) - math.log(2))
    return np.asarray(log_wealths[METHODS.index(method)])
