"""Options by simulation: ours with all Greeks, beside peers on as many pseudo-random paths, and to an error.

The floor counts an exponential for each price that a path needs, and the work of one for each normal. What ours
cannot go below is higher: a portable normal (Philox 4x64 of ten rounds, and its quantile) takes a core of 2.6 GHz and
vectors of 512 bits 2.7 ns, a quick one (Philox 4x32 of ten rounds, Box and Muller) 0.8. For 1M paths of one step that
is 1.4 and 0.4 ms on two cores, for 100k x 252 it is 34 and 10 ms, for 100k x 50 it is 6.8 and 2 ms, and for the
policy's 16,384 x 50 it is 1.1 and 0.3 ms.

The cases `..._to_error` measure the time to a standard error instead: scrambled Sobol with bridge and control
variates beside plain pseudo-random paths. Their time is that of as many calls as bring their standard error down to
ours, which falls with the root of the paths.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import torch

from nautilus_metal.bench.case import Case, Floor
from nautilus_metal.bench.cases import path_loops
from nautilus_metal.bench.rates import Rates
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk.pricing import price_option

MARKET = (100.0, 100.0, 1.0, 0.05, 0.2)  # spot, strike, years, rate, volatility
_FEW = {"european": 65_536, "asian": 4_096, "american": 8_192}  # paths of ours, to an error
_LOOPS: dict[str, Callable[..., tuple[float, ...]]] = {
    "european": lambda paths, dates: path_loops.european(paths, MARKET),
    "asian": lambda paths, dates: path_loops.asian(paths, dates, MARKET),
    "american": lambda paths, dates: path_loops.american(paths, dates, MARKET),
}


class Problem(NamedTuple):
    """The engine, and the size."""

    engine: ComputeEngine
    paths: int
    dates: int


class Answer(NamedTuple):
    """A price with its standard error, and the delta where there is one."""

    price: float
    error: float
    delta: float | None = None


def _prepare(engine: ComputeEngine, paths: int, dates: int = 1) -> Problem:
    return Problem(engine, paths, dates)


def _ours(style: str, sampler: str, control: bool, few: bool, problem: Problem) -> Answer:
    spot, strike, years, rate, volatility = MARKET
    dates: dict[str, dict[str, Any]]
    dates = {"asian": {"observations": problem.dates}, "american": {"exercise_dates": problem.dates}}
    found = price_option(
        "put" if style == "american" else "call", style, spot=spot, strike=strike, expiry=years, rate=rate,
        volatility=volatility, num_simulations=_FEW[style] if few else problem.paths, sampler=sampler, seed=1,
        engine=problem.engine, method="monte_carlo", control_variates=control, **dates.get(style, {}),
    )  # fmt: skip
    delta, error = found.greeks["delta"], found.standard_errors["price"]
    assert isinstance(delta, float), "every Greek was found"
    assert isinstance(error, float), "the price has an error"
    return Answer(found.price, error, delta)


def _numba(style: str, problem: Problem) -> Answer:
    price, error, *greeks = _LOOPS[style](problem.paths, problem.dates)
    return Answer(price, error, greeks[0] if greeks else None)


def _numpy_european(problem: Problem) -> Answer:
    spot, strike, years, rate, volatility = MARKET
    z = np.random.default_rng(2).standard_normal(problem.paths, dtype=np.float32)
    root = np.float32(volatility * sqrt(years))
    price = np.float32(spot) * np.exp(np.float32((rate - volatility**2 / 2) * years) + root * z)
    level = np.where(price > strike, price, np.float32(0.0))
    paid = np.maximum(price - np.float32(strike), np.float32(0.0))
    gamma = (level * (z / root - 1)).mean(dtype=float) / spot**2
    vega = (level * (np.float32(sqrt(years)) * z - np.float32(volatility * years))).mean(dtype=float)
    assert min(gamma, vega) > 0
    discount = np.exp(-rate * years)
    delta = discount * level.mean(dtype=float) / spot
    return Answer(discount * paid.mean(dtype=float), discount * paid.std(dtype=float) / sqrt(problem.paths), delta)


def _torch_european(problem: Problem) -> Answer:
    spot, strike, years, rate, volatility = MARKET
    z = torch.randn(problem.paths, generator=torch.Generator().manual_seed(2))
    root = volatility * sqrt(years)
    price = (z * root).add_((rate - volatility**2 / 2) * years).exp_().mul_(spot)
    paid = (price - strike).clamp_(min=0.0)
    level = price * (price > strike)
    greeks = torch.stack([level.mean(), (level * (z / root - 1)).mean(), (level * (z - root)).mean()])
    discount = float(np.exp(-rate * years))
    error = discount * float(paid.std()) / sqrt(problem.paths)
    return Answer(discount * float(paid.mean()), error, discount * float(greeks[0]) / spot)


def _numpy_asian(problem: Problem) -> Answer:
    """A loop over time, which takes less than a matrix of all steps does."""
    spot, strike, years, rate, volatility = MARKET
    rng, step = np.random.default_rng(3), years / problem.dates
    log, total = np.zeros(problem.paths, np.float32), np.zeros(problem.paths, np.float32)
    drift, root = np.float32((rate - volatility**2 / 2) * step), np.float32(volatility * sqrt(step))
    for _ in range(problem.dates):
        log += drift + root * rng.standard_normal(problem.paths, dtype=np.float32)
        total += np.exp(log)
    return _mean_answer(total * np.float32(spot / problem.dates), strike, np.exp(-rate * years), spot)


def _torch_asian(problem: Problem) -> Answer:
    spot, strike, years, rate, volatility = MARKET
    generator, step = torch.Generator().manual_seed(3), years / problem.dates
    log, total, z = torch.zeros(problem.paths), torch.zeros(problem.paths), torch.empty(problem.paths)
    drift, root = (rate - volatility**2 / 2) * step, volatility * sqrt(step)
    for _ in range(problem.dates):
        log.add_(z.normal_(generator=generator), alpha=root).add_(drift)
        total.add_(torch.exp(log, out=z))
    return _mean_answer((total * (spot / problem.dates)).numpy(), strike, np.exp(-rate * years), spot)


def _mean_answer(mean: np.ndarray, strike: float, discount: float, spot: float) -> Answer:
    paid = discount * np.maximum(mean - np.float32(strike), 0).astype(float)
    delta = discount * float((mean * (mean > strike)).mean(dtype=float)) / spot
    return Answer(float(paid.mean()), float(paid.std()) / sqrt(len(paid)), delta)


def _numpy_american(problem: Problem) -> Answer:
    """Longstaff and Schwartz with a cubic, on the paths of the regression."""
    spot, strike, years, rate, volatility = MARKET
    step = years / problem.dates
    moves = np.random.default_rng(4).standard_normal((problem.dates, problem.paths), dtype=np.float32)
    moves *= np.float32(volatility * sqrt(step))
    moves += np.float32((rate - volatility**2 / 2) * step)
    prices = np.float32(spot) * np.exp(np.cumsum(moves, axis=0))
    cash, discount = np.maximum(strike - prices[-1], 0.0).astype(float), np.exp(-rate * step)
    for row in prices[-2::-1]:
        cash *= discount
        inside = np.flatnonzero(row < strike)
        if len(inside) < 20:
            continue
        x = row[inside].astype(float) / strike
        basis = np.stack([np.ones_like(x), x, x * x, x**3])
        waiting = np.linalg.solve(basis @ basis.T, basis @ cash[inside]) @ basis
        stop = strike * (1 - x) > waiting
        cash[inside[stop]] = strike * (1 - x[stop])
    cash *= discount
    return Answer(float(cash.mean()), float(cash.std()) / sqrt(problem.paths))


def _quantlib(style: str, problem: Problem) -> Answer:
    """Its own pseudo-random engines; the price alone."""
    import QuantLib as ql  # noqa: N813

    spot, strike, _, rate, volatility = MARKET
    today, count, calendar = ql.Date(1, 1, 2025), ql.Actual365Fixed(), ql.NullCalendar()
    ql.Settings.instance().evaluationDate = today
    curve = ql.YieldTermStructureHandle(ql.FlatForward(today, rate, count))
    spread = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, calendar, volatility, count))
    process = ql.BlackScholesProcess(ql.QuoteHandle(ql.SimpleQuote(spot)), curve, spread)
    kind = ql.Option.Put if style == "american" else ql.Option.Call
    payoff, end = ql.PlainVanillaPayoff(kind, strike), today + 365
    numbers = {"requiredSamples": problem.paths, "seed": 5}
    if style == "european":
        option = ql.VanillaOption(payoff, ql.EuropeanExercise(end))
        option.setPricingEngine(ql.MCEuropeanEngine(process, "pseudorandom", timeSteps=1, **numbers))
    elif style == "american":
        option = ql.VanillaOption(payoff, ql.AmericanExercise(today, end))
        more = {"timeSteps": problem.dates, "nCalibrationSamples": min(2_048, problem.paths), "polynomOrder": 3}
        option.setPricingEngine(ql.MCAmericanEngine(process, "pseudorandom", **more, **numbers))
    else:
        dates = [today + round(365 * k / problem.dates) for k in range(1, problem.dates + 1)]
        option = ql.DiscreteAveragingAsianOption(
            ql.Average.Arithmetic, 0.0, 0, dates, payoff, ql.EuropeanExercise(end)
        )
        option.setPricingEngine(
            ql.MCDiscreteArithmeticAPEngine(process, "pseudorandom", controlVariate=False, **numbers)
        )
    return Answer(option.NPV(), option.errorEstimate())


def _check(style: str, problem: Problem, ours: Answer, theirs: Answer) -> None:
    """Prices within five standard errors of each other; early exercise and dates may differ by a little more.

    The in-sample estimate of an American option is high, an estimate by a policy low; whole days are not equal steps.
    """
    slack = {"european": 0.0, "asian": 0.02, "american": 0.03}[style] if problem.paths > 50_000 else 0.1
    room = 5 * sqrt(ours.error**2 + theirs.error**2) + slack
    assert abs(ours.price - theirs.price) <= room, f"{ours.price} and {theirs.price}, at most {room} apart"
    if ours.delta is not None and theirs.delta is not None:
        assert abs(ours.delta - theirs.delta) <= 5 / sqrt(problem.paths), f"deltas {ours.delta} and {theirs.delta}"


def _calls(ours: Answer, theirs: Answer) -> float:
    """How many times their paths it takes for our standard error."""
    return (theirs.error / ours.error) ** 2


def _check_error(style: str, problem: Problem, ours: Answer, theirs: Answer) -> None:
    assert ours.error <= theirs.error, f"the standard error is {ours.error}, plain paths have {theirs.error}"
    _check(style, problem, ours, theirs._replace(delta=None))


def _floor(style: str) -> Floor:
    each = 1 if style == "american" else 2

    def seconds(rates: Rates, size: Mapping[str, int]) -> float | None:
        return rates.exponentiated(each * size["paths"] * size.get("dates", 1))

    prices = "none for a price, whose logarithm says enough" if each == 1 else "one for each price"
    return Floor(f"an exponential's work for each normal, {prices}", seconds)


_PEERS: dict[str, dict[str, Callable[[Problem], Answer]]] = {
    "european": {"numpy": _numpy_european, "torch eager": _torch_european},
    "asian": {"numpy": _numpy_asian, "torch eager": _torch_asian},
    "american": {"numpy": _numpy_american},
}
_PLAIN: dict[str, dict[str, Callable[[Problem], Answer]]] = {
    style: {
        "ours, plain paths": partial(_ours, style, "pseudo", False, False),
        "ours, plain quick paths": partial(_ours, style, "fast", False, False),
        "numba loop, plain paths": partial(_numba, style),
    }
    for style in _PEERS
}
_SIZES: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "european": ({"paths": 1_000_000}, {"paths": 4_000}),
    "asian": ({"paths": 100_000, "dates": 252}, {"paths": 2_000, "dates": 8}),
    "american": ({"paths": 100_000, "dates": 50}, {"paths": 4_000, "dates": 8}),
}
_ASKED: dict[str, dict[str, float]] = {
    "european": {"numpy": 21.0, "numba loop": 1.0, "QuantLib": 216.0},
    "asian": {"numpy": 12.0, "numba loop": 1.0, "QuantLib": 196.0},
    "american": {"numpy": 22.0, "numba loop": 1.0, "QuantLib": 153.0},
}
_ASKED_TO_ERROR = 20.0
_STREAMS = {"pseudo": ("", "portable"), "fast": ("_fast", "quick")}

CASES = (
    *(
        Case(
            name=f"price_{style}{suffix}",
            title=f"one {style} option by {words} pseudo-random paths: ours with all Greeks and standard errors",
            sizes=(full,),
            quick=(quick,),
            prepare=_prepare,
            ours=partial(_ours, style, sampler, True, False),
            peers=_PEERS[style] | {"numba loop": partial(_numba, style), "QuantLib": partial(_quantlib, style)},
            check=partial(_check, style),
            floor=_floor(style),
            asked=_ASKED[style],
        )
        for sampler, (suffix, words) in _STREAMS.items()
        for style, (full, quick) in _SIZES.items()
    ),
    *(
        Case(
            name=f"price_{style}_to_error",
            title=f"one {style} option to a standard error: ours by Sobol and control variates, beside plain paths",
            sizes=(full,),
            quick=(quick,),
            prepare=_prepare,
            ours=partial(_ours, style, "sobol", True, True),
            peers=_PLAIN[style],
            check=partial(_check_error, style),
            calls=_calls,
            asked=dict.fromkeys(_PLAIN[style], _ASKED_TO_ERROR),
        )
        for style, (full, quick) in _SIZES.items()
    ),
)
