"""Prices and Greeks by the compiled path loop: one European, Asian, American or Bermudan option under Black-Scholes.

The same numbers, estimators and control variates as by `pricing_plans`, so that figures agree to float32. Every
figure of a path is linear in the rows of `kernels.fused_payoffs.ROWS`; here are the coefficients.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.fused import Outputs, fused_kernels
from nautilus_metal.engine.fused_paths import PathProblem, path_sums
from nautilus_metal.kernels.brownian import stream_seed
from nautilus_metal.kernels.fused_paths import path_products
from nautilus_metal.kernels.fused_payoffs import AMERICAN, ASIAN, EUROPEAN, ROWS
from nautilus_metal.kernels.longstaff_schwartz import Policy
from nautilus_metal.risk.pricing_checks import Array
from nautilus_metal.risk.pricing_device import device_moments
from nautilus_metal.risk.pricing_monte_carlo import Moments, Plan, Sample, group_moments
from nautilus_metal.risk.pricing_plans import EARLY, SCHEDULED, early_plan, make_plan
from nautilus_metal.risk.pricing_terms import Terms, checked_terms

LEAST = 1 << 18  # random numbers from which on compiling is begun: fewer take the eager kernels a tenth of a second

_DEVIATIONS = 6.0  # of a price's logarithm that paths reach
_TOLERANCE = 2e-4  # of the largest mean, or product, of a figure
_STYLES = {"european": EUROPEAN, "asian": ASIAN, "american": AMERICAN, "bermudan": AMERICAN}
_SAMPLE: dict[int, tuple[str, tuple[dict[str, Any], ...]]] = {
    EUROPEAN: ("european", ({},)),
    ASIAN: ("asian", ({"observations": 4, "steps": 8}, {"observations": 11, "volatility": 0.1})),  # see `gentle`
    AMERICAN: ("bermudan", ({"exercise_dates": 4, "steps": 8},)),
}
_SAMPLES = ((1, 3001, "pseudo"), (1, 3002, "antithetic"), (2, 1100, "sobol"), (1, 3003, "fast"))

Row = Mapping[str, float]


def fused_sample(terms: Terms, plan: Plan, engine: ComputeEngine, policy: Policy | None = None) -> Sample | None:
    """The compiled way to the moments of a plan, for `pricing_monte_carlo.estimate`; None where there is none.

    Parameters
    ----------
    terms, plan, policy
        The contract, what is to be simulated, and when it is exercised, if it may be early.
    engine : ComputeEngine
        Where to compute.
    """
    if terms.model != "black_scholes" or terms.style not in _STYLES or terms.contracts > 1:
        return None
    if plan.figures is not None or engine.dtype != torch.float32 or (terms.style == "european" and plan.steps > 1):
        return None

    def sample(groups: int, count: int, sampler: str, seed: int) -> list[Moments] | None:
        if engine.device.type == "cuda" and policy is None:
            return device_moments(terms, plan, engine, groups, count, sampler, seed)
        kernels = fused_kernels(engine.device, "numba")
        style = _STYLES[terms.style]
        name = f"{_SAMPLE[style][0]}_paths"
        if kernels is None or (name not in kernels.verdicts and groups * count * plan.steps < LEAST):
            return None
        asked = _Asked(terms, plan, policy, _market(terms, plan))
        if not _within_float32(asked.market):
            return None
        loop = kernels.trusted(
            name,
            path_products,
            lambda loop: _compared(lambda *asked: _moments(loop, *asked), style, engine),
            lambda: _compared(partial(_eager, engine), style, engine),
            _TOLERANCE,
        )
        return loop and _moments(loop, asked, groups, count, sampler, seed)

    return sample


class _Asked(NamedTuple):
    terms: Terms
    plan: Plan
    policy: Policy | None
    market: "_Market"


def _moments(
    loop: Callable[..., None], asked: _Asked, groups: int, count: int, sampler: str, seed: int
) -> list[Moments] | None:
    """Moments of each group; None where a price left float32."""
    units = count // 2 if sampler == "antithetic" else count
    seeds = [stream_seed(seed, k) for k in range(groups)]
    problem, rows = _problem(asked), _coefficients(asked)
    found = []
    for sums in path_sums(loop, problem, seeds, units, sampler):
        if not np.isfinite(sums).all():
            return None
        mean = sums[0] / sums[0, 0]
        centred = sums - sums[0, 0] * np.outer(mean, mean)
        found.append(Moments(units, (rows @ mean)[..., None], _between(rows, centred)[..., None]))
    return found


def _between(rows: Array, centred: Array) -> Array:
    """Products of each figure between contract and controls, shape (1 + controls, 1 + controls, figures)."""
    return np.asarray(np.einsum("afj,bfj->abf", rows @ centred, rows))


class _Market(NamedTuple):
    spot: float
    strike: float
    sign: float
    rate: float
    dividend: float
    volatility: float
    expiry: float
    steps: int
    scheduled: bool

    @property
    def step(self) -> float:
        return self.expiry / self.steps

    @property
    def deviation(self) -> float:
        return self.volatility * math.sqrt(self.step)

    @property
    def drift(self) -> float:
        """Of the logarithm, per year."""
        return self.rate - self.dividend - 0.5 * self.volatility**2


def _market(terms: Terms, plan: Plan) -> _Market:
    rate, dividend, volatility, expiry = map(terms.number, ("rate", "dividend_yield", "volatility", "expiry"))
    strike, sign, scheduled = float(terms.strike), float(terms.sign), terms.style in SCHEDULED
    plain = terms.number("spot"), strike, sign, rate, dividend, volatility, expiry
    return _Market(*plain, plan.steps, scheduled)


def _within_float32(m: _Market) -> bool:
    """Whether prices six deviations up still are numbers for the eager kernel, which refuses them else."""
    reach = abs(m.drift) * m.expiry + _DEVIATIONS * m.volatility * math.sqrt(m.expiry)
    return math.log(m.spot) + reach < math.log(torch.finfo(torch.float32).max)


def _problem(asked: _Asked) -> PathProblem:
    m, policy = asked.market, asked.policy
    every = m.steps // asked.terms.options["observations"] if asked.terms.style == "asian" else 1
    boundary = None
    if policy is not None:
        boundary = np.full(m.steps, np.inf)
        boundary[policy.stride - 1 :: policy.stride] = policy.boundary.numpy() / m.spot
    figures = (m.drift * m.step, m.deviation, m.strike / m.spot, m.sign, m.rate * m.step, m.dividend * m.step)
    return PathProblem(_STYLES[asked.terms.style], m.steps, every, figures, boundary)


def _coefficients(asked: _Asked) -> Array:
    """Figures by rows of the basis, shape (1 + controls, figures, rows)."""
    m, style = asked.market, _STYLES[asked.terms.style]
    if style == AMERICAN:
        found = [_stopped(m), _stopped_european(m)]
    else:
        last = "Sw" if style == ASIAN else "Sz"
        at_expiry = _paid_at_expiry(m, 1.0, {"S": 1.0}, {"Sz": 1.0}, {last: 1.0}, m.steps, {})
        if style == EUROPEAN:
            found = [_paid_at_expiry(m, m.sign, {"IS": 1.0}, {"ISz": 1.0}, {"ISz": 1.0}, 1, {"I": 1.0}), at_expiry]
        else:
            found = _averages(m, asked.terms.options, at_expiry)
    places = {name: place for place, name in enumerate(ROWS[style])}
    table = np.zeros((1 + len(asked.plan.controls), 6, len(places)))
    for figures, one in zip(table, found, strict=False):
        for figure, row in zip(figures, one, strict=True):
            for name, coefficient in row.items():
                figure[places[name]] = coefficient
    return table


def _averages(m: _Market, options: Mapping[str, Any], at_expiry: list[Row]) -> list[list[Row]]:
    observed = options["observations"]
    time = m.steps * (observed + 1) / (2 * observed)  # mean number of steps to an observation
    geometric = _paid_at_expiry(m, m.sign, {"JG": 1.0}, {"JGz": 1.0}, {"JGw": 1.0}, time, {"J": 1.0})
    if options["average"] == "geometric":
        return [geometric, at_expiry]
    by_time = {"IAt": 1.0}
    arithmetic = _paid_at_expiry(m, m.sign, {"IA": 1.0}, {"IAz": 1.0}, {"IAw": 1.0}, by_time, {"I": 1.0})
    return [arithmetic, at_expiry, geometric]


def _sum(*parts: tuple[float, Row]) -> Row:
    """A linear combination of rows."""
    found: dict[str, float] = {}
    for factor, row in parts:
        for name, value in row.items():
            found[name] = found.get(name, 0.0) + factor * value
    return found


def _paid_at_expiry(
    m: _Market, sign: float, level: Row, by_first: Row, by_sum: Row, time: float | Row, indicator: Row
) -> list[Row]:
    """Figures of sign * (level - strike) at expiry, in the order of `path_greeks.names`.

    The rows are the level, and the level times the first normal, times the sum of normals and times the number of
    steps in each of its prices' logarithms.
    """
    by_time = time if isinstance(time, Mapping) else _sum((time, level))
    unit = sign * math.exp(-m.rate * m.expiry)
    price = _sum((unit * m.spot, level), (-unit * m.strike, indicator))
    if m.scheduled:
        moved = _sum((m.drift, level), (0.5 * m.volatility / math.sqrt(m.step), by_first))
    else:
        moved = _sum((m.drift / m.steps, by_time), (0.5 * m.volatility / math.sqrt(m.steps * m.expiry), by_sum))
    return [
        price,
        _sum((unit, level)),
        _sum((unit / m.spot / m.deviation, by_first), (-unit / m.spot, level)),
        _sum((unit * m.spot * math.sqrt(m.step), by_sum), (-unit * m.spot * m.volatility * m.step, by_time)),
        _sum((-unit * m.spot, moved), (m.rate, price)),
        _sum((unit * m.spot * m.step, by_time), (-m.expiry, price)),
    ]


def _stopped(m: _Market) -> list[Row]:
    """Figures of the option where its policy stops each path; discounting is in the rows."""
    price = {"p": m.spot, "q": -m.strike}
    late = {"pt": m.spot, "qt": -m.strike}  # price times steps
    if m.scheduled:
        moved = _sum((m.drift, {"p": 1.0}), (0.5 * m.volatility / math.sqrt(m.step), {"pz": 1.0}))
        decay = _sum((m.rate, price))
    else:
        share = 0.5 * m.volatility / math.sqrt(m.steps * m.expiry)
        moved = _sum((m.drift / m.steps, {"pt": 1.0}), (share, {"pw": 1.0}))
        decay = _sum((m.rate / m.steps, late))
    return [
        price,
        {"p": 1.0},
        {"pz": 1.0 / (m.spot * m.deviation), "p": -1.0 / m.spot},
        {"pw": m.spot * math.sqrt(m.step), "pt": -m.spot * m.volatility * m.step},
        _sum((-m.spot, moved), (1.0, decay)),
        _sum((m.spot * m.step, {"pt": 1.0}), (-m.step, late)),
    ]


def _stopped_european(m: _Market) -> list[Row]:
    """Figures of the European option where the policy stops each path, in which `left` steps are to come."""
    price = {"c": m.spot}
    if m.scheduled:
        moved = _sum((m.drift, {"h": 1.0}), (0.5 * m.volatility / math.sqrt(m.step), {"hz": 1.0}))
        grown = _sum((m.spot, moved), (-m.rate, price))
    else:
        share = 0.5 * m.volatility / math.sqrt(m.steps * m.expiry)
        moved = _sum((m.drift / m.steps, {"ht": 1.0}), (share, {"hw": 1.0}))
        waiting = {"v": 0.5 * m.deviation, "b": m.rate * m.step}
        waiting |= {"h": -m.dividend * m.expiry, "ht": m.dividend * m.step}
        grown = _sum((m.spot, moved), (-m.rate / m.steps, {"ct": m.spot}), (m.spot / m.expiry, waiting))
    return [
        price,
        {"h": 1.0},
        {"hz": 1.0 / (m.spot * m.deviation), "h": -1.0 / m.spot},
        _sum(
            (m.spot * math.sqrt(m.step), {"hw": 1.0, "v": 1.0}),
            (-m.spot * m.volatility * m.step, {"ht": 1.0}),
        ),
        _sum((-1.0, grown)),
        _sum((m.spot * m.step, {"ht": 1.0, "b": 1.0, "ct": -1.0})),
    ]


def _compared(way: Callable[..., list[Moments] | None], style: int, engine: ComputeEngine) -> Outputs:
    """Means and products of each figure on a sample, for the comparison with the eager kernels."""
    name, samples = _SAMPLE[style]
    found: list[Moments] = []
    for options in samples:
        asked = _sampled(name, dict(options), engine)
        for groups, count, sampler in _SAMPLES:
            found += way(asked, groups, count, sampler, 5) or []
    return [
        torch.from_numpy(np.ascontiguousarray(part))
        for one in found
        for figure in range(6)
        for part in (one.mean[:, figure], one.products[:, :, figure])
    ]


def _sampled(name: str, options: dict[str, Any], engine: ComputeEngine) -> _Asked:
    volatility = options.pop("volatility", 0.3)
    market = {"spot": 90.0, "volatility": volatility, "dividend_yield": 0.02, "rate": 0.04, "expiry": 0.8}
    terms = checked_terms("put", name, market, 95.0, "black_scholes", options, batch=False)
    policy = None
    plan = make_plan(terms, engine)
    if name in EARLY:
        policy = Policy(torch.tensor([70.0, 75.0, 80.0, 95.0], dtype=torch.float64), 2, 0.0)
        plan = early_plan(terms, engine, policy)
    return _Asked(terms, plan, policy, _market(terms, plan))


def _eager(engine: ComputeEngine, asked: _Asked, groups: int, count: int, sampler: str, seed: int) -> list[Moments]:
    return group_moments(asked.plan, groups, count, sampler, seed, engine)
