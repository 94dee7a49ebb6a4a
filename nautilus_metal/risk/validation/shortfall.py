"""Is the expected shortfall right? Acerbi and Szekely's tests, with critical values by simulation on the device."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.risk.validation.laws import InnovationLaw, normal_law
from nautilus_metal.risk.validation.result import check_level, tail_series

TESTS = ("conditional", "unconditional", "quantile", "min_bias_absolute", "min_bias_relative")
Parts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
_BLOCK = 2**21  # days simulated at a time, summed over series


@dataclass(frozen=True)
class ShortfallResult:
    """One of Acerbi and Szekely's tests. Negative statistics say that the shortfall was stated too low.

    Attributes
    ----------
    statistic : float or None
        About zero under a right model; None where it is not defined: `conditional` without an exception, `quantile`
        with less than one day in the tail.
    p_value : float or None
        The chance of one as low under a right model, from the simulation.
    critical_value : float or None
        The statistic below which the model is rejected, at the asked significance.
    standard_error : float or None
        Of the p-value, from the finite number of simulations.
    """

    statistic: float | None
    p_value: float | None
    critical_value: float | None
    standard_error: float | None


@dataclass(frozen=True)
class ShortfallVerdict:
    """All of Acerbi and Szekely's tests on one model at one level.

    Attributes
    ----------
    days, exceptions : int
        Days scored, and those whose loss exceeded VaR.
    conditional, unconditional, quantile, min_bias_absolute, min_bias_relative : ShortfallResult
        The tests, as in `acerbi_szekely`.
    significance : float
        Of the critical values.
    law : str
        Shape that the P&L was simulated with.
    simulations, seed : int
        Simulated series, and the stream of random numbers.
    device : str
        Where they were simulated.
    """

    days: int
    exceptions: int
    conditional: ShortfallResult
    unconditional: ShortfallResult
    quantile: ShortfallResult
    min_bias_absolute: ShortfallResult
    min_bias_relative: ShortfallResult
    significance: float
    law: str
    simulations: int
    seed: int
    device: str


@dataclass(frozen=True)
class _Model:
    """The stated days as tensors on one device, shape (days,): the P&L is location + scale * innovation."""

    var: Tensor
    es: Tensor
    location: Tensor
    scale: Tensor
    tail: float
    worst: int
    offset: float
    slope: float

    def statistics(self, innovations: Tensor) -> Tensor:
        """Return the five statistics of innovations of shape (series, days), shape (5, series)."""
        pnl = self.location + self.scale * innovations
        excess = -pnl - self.var
        hits = (excess > 0).to(pnl.dtype)
        lost = -(pnl * hits / self.es)
        days = pnl.shape[1]
        count, total = hits.sum(dim=1), lost.sum(dim=1)
        gap = self.es - self.var - excess.clamp(min=0) / self.tail
        if self.worst:
            smallest = torch.topk(innovations, self.worst, dim=1, largest=False, sorted=False).values
            rank = 1 - self.offset + self.slope * smallest.mean(dim=1)
        else:
            rank = torch.full_like(total, torch.nan)
        none = torch.full_like(total, torch.nan)
        return torch.stack(
            [
                torch.where(count > 0, 1 - total / count.clamp(min=1), none),
                1 - total / (days * self.tail),
                rank,
                gap.mean(dim=1),
                (gap / self.es).mean(dim=1),
            ]
        )


def acerbi_szekely(
    pnl: ArrayLike,
    var: ArrayLike,
    es: ArrayLike,
    level: float,
    law: InnovationLaw | None = None,
    *,
    significance: float = 0.05,
    simulations: int = 4999,
    seed: int = 0,
    engine: ComputeEngine | None = None,
) -> ShortfallVerdict:
    r"""Test stated expected shortfalls by all of Acerbi and Szekely's tests.

    With the P&L X, VaR v and expected shortfall e of each of T days, the exceptions I, their number N and the tail's
    chance :math:`\alpha = 1 - level`:

    ================== ============================================================================================
    conditional        :math:`Z_1 = \frac{1}{N} \sum X_t I_t / e_t + 1`: are losses beyond VaR as large as stated?
                       Blind to their number, so to be read beside a test of VaR.
    unconditional      :math:`Z_2 = \frac{1}{T \alpha} \sum X_t I_t / e_t + 1`: number and size together
    quantile           :math:`Z_3 = 1 - \frac{1}{T} \sum_t \widehat{ES}(P_t^{-1}(U)) / E[\widehat{ES}(P_t^{-1}(V))]`
                       with the ranks U of the days in their own distributions P: the mean of the worst
                       :math:`\lfloor T \alpha \rfloor` days of the whole sample, seen from each day
    min_bias_absolute  :math:`\frac{1}{T} \sum (e_t - v_t - (X_t + v_t)^- / \alpha)`, in units of P&L: a wrong VaR
                       biases it in the second order only
    min_bias_relative  the same with each day divided by :math:`e_t`
    ================== ============================================================================================

    Under a right model each has mean zero (the first, given an exception). Its law comes from simulated P&L: `law`
    gives the shape of a day's distribution, the stated VaR and shortfall its location and scale. The p-value is the
    share (1 + simulated ones as low) / (1 + simulations). One set of random numbers is kept on the device and serves
    every model and level with as many days.

    Parameters
    ----------
    pnl : array_like
        Profit (positive) or loss of each day, shape (days,).
    var, es : array_like
        Value at risk and expected shortfall stated for that day beforehand, positive losses, shape (days,).
    level : float
        Confidence level of both.
    law : InnovationLaw, optional
        Shape of the model's distribution, the normal by default.
    significance : float
        Of the critical values.
    simulations : int
        Series to simulate, at least 99.
    seed : int
        Selects the portable random numbers.
    engine : ComputeEngine, optional
        Where to simulate, the process' shared one by default.

    Raises
    ------
    InputError
        If the series differ in length, are empty or not finite, a shortfall is not positive and above VaR, or a
        number is outside its range.

    References
    ----------
    Acerbi and Szekely (2014), "Backtesting expected shortfall", Risk 27(11): the first three.
    Acerbi and Szekely (2017), "General properties of backtestable statistics", SSRN 2905109, and (2019), "The
    minimally biased backtest for ES", Risk: the last two.
    """
    _check_numbers(level, significance, simulations)
    law, engine = law or normal_law(), engine or shared_engine()
    profit, stated, shortfall = _checked(pnl, var, es)
    parts = _model_parts(stated, shortfall, level, law)
    found = _found(profit, parts, level, law)
    simulated = _simulate(parts, level, law, simulations, seed, engine)
    return ShortfallVerdict(
        days=len(profit),
        exceptions=int((-profit > stated).sum()),
        **{name: _result(found[row], simulated[row], significance) for row, name in enumerate(TESTS)},
        significance=significance,
        law=law.name,
        simulations=simulations,
        seed=seed,
        device=str(engine.device),
    )


def shortfall_statistics(
    pnl: ArrayLike, var: ArrayLike, es: ArrayLike, level: float, law: InnovationLaw | None = None
) -> dict[str, float | None]:
    """Return the statistics of `acerbi_szekely` by name, without their laws under a right model.

    Parameters
    ----------
    pnl, var, es, level, law
        As there.
    """
    check_level(level)
    law = law or normal_law()
    profit, stated, shortfall = _checked(pnl, var, es)
    found = _found(profit, _model_parts(stated, shortfall, level, law), level, law).tolist()
    return {name: one if math.isfinite(one) else None for name, one in zip(TESTS, found, strict=True)}


def _checked(pnl: ArrayLike, var: ArrayLike, es: ArrayLike) -> list[NDArray[np.float64]]:
    series = tail_series(pnl, var, es)
    if not len(series[0]):
        raise InputError("`pnl`, `var` and `es` must hold at least one day, were empty")
    return series


def _found(profit: NDArray[np.float64], parts: Parts, level: float, law: InnovationLaw) -> NDArray[np.float64]:
    """The five statistics of what has happened."""
    model = _build(parts, [torch.from_numpy(part) for part in parts], level, law)
    innovations = (torch.from_numpy(profit) - model.location) / model.scale
    return model.statistics(innovations[None])[:, 0].numpy()


def _check_numbers(level: float, significance: float, simulations: int) -> None:
    check_level(level)
    if not 0 < significance < 1:
        raise InputError(f"`significance` must lie between 0 and 1, was {significance}")
    if simulations < 99:
        raise InputError(f"`simulations` must be at least 99, was {simulations}")


def _model_parts(var: NDArray[np.float64], es: NDArray[np.float64], level: float, law: InnovationLaw) -> Parts:
    """VaR, shortfall, location and scale by day, so that a law of that shape has this VaR and this shortfall."""
    quantile, tail_mean = law.value_at_risk(level), law.expected_shortfall(level)
    if tail_mean <= quantile:
        raise InputError(f"`law` must have losses beyond its VaR at level {level}, {law.name} has none")
    scale = (es - var) / (tail_mean - quantile)
    return var, es, scale * quantile - var, scale


def _build(parts: Parts, tensors: list[Tensor], level: float, law: InnovationLaw) -> _Model:
    _, _, location, scale = parts
    days, tail = len(scale), 1 - level
    worst = int(days * tail + 1e-9)
    offset = slope = 0.0
    if worst:
        expected = scale * law.worst_mean(days, worst) - location
        offset, slope = float((-location / expected).mean()), float((scale / expected).mean())
    var, es, shift, unit = tensors
    return _Model(var, es, shift, unit, tail, worst, offset, slope)


def _simulate(
    parts: Parts, level: float, law: InnovationLaw, simulations: int, seed: int, engine: ComputeEngine
) -> NDArray[np.float64]:
    """Return the statistics of simulated series, shape (5, simulations)."""
    days = len(parts[0])
    model = _build(parts, list(engine.upload(np.stack(parts))), level, law)
    table = None if law.is_normal else engine.upload(law.quantiles)
    step = max(1, _BLOCK // days)
    blocks = []
    for first in range(0, simulations, step):
        some = min(step, simulations - first)

        def fill(block: Tensor, first: int = first, some: int = some) -> None:
            block.copy_(standard_normals(some, days, seed, first_row=first).to(block.dtype))

        key = ("validation", seed, first)
        with engine.pool.borrow((some, days), engine.dtype, key=key, fill=fill) as scores:
            blocks.append(model.statistics(law.innovations(scores, table)))
    return engine.download(torch.cat(blocks, dim=1))


def _result(statistic: float, simulated: NDArray[np.float64], significance: float) -> ShortfallResult:
    law = np.sort(simulated[np.isfinite(simulated)])
    if not len(law):
        return ShortfallResult(None, None, None, None)
    critical = float(law[max(0, int(significance * (len(law) + 1)) - 1)])
    if not np.isfinite(statistic):
        return ShortfallResult(None, None, critical, None)
    p_value = float((1 + np.searchsorted(law, statistic, side="right")) / (1 + len(law)))
    return ShortfallResult(float(statistic), p_value, critical, float(np.sqrt(p_value * (1 - p_value) / len(law))))
