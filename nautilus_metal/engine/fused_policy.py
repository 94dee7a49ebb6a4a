"""The exercise policy of an American option by the compiled loops of `kernels.fused_policy`."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.engine.fused_paths import PIECE, SOURCES, WORK
from nautilus_metal.engine.pool_arrays import result_array
from nautilus_metal.engine.shared import shared_engine
from nautilus_metal.engine.threads import share
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.counter_normals import counter_normals
from nautilus_metal.kernels.fused_paths import WIDTHS
from nautilus_metal.kernels.fused_policy import POWERS, policy_loop, walk_values
from nautilus_metal.kernels.longstaff_schwartz import DEPTH, train_policy
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.kernels.paths import Paths

_TILE = 1024  # paths that are walked at a time
_VALUES_TOLERANCE, _DEPTHS_TOLERANCE = 1e-5, 5e-3  # of the largest value; of the deepest boundary, and of the worth
_SAMPLE = (8192, 6, 2)  # paths, dates, steps between them


class Exercise(NamedTuple):
    """Under Black-Scholes, in units of today's price: strike, sign, and what a year has."""

    strike: float
    sign: float
    rate: float
    dividend_yield: float
    volatility: float
    expiry: float


def fused_depths(
    terms: Exercise, dates: int, stride: int, count: int, seed: int, sampler: str = "pseudo"
) -> tuple[NDArray[np.float64], float] | None:
    """Fit the boundary on paths of their own.

    Parameters
    ----------
    terms : Exercise
        Of the option.
    dates, stride : int
        Exercise dates, and steps of a path between them.
    count, seed : int
        Paths and their stream.
    sampler : {"pseudo", "fast"}
        Of the stream.

    Returns
    -------
    tuple or None
        How far in the money the option is exercised at each date, in deviations at expiry, shape (dates,), and the
        value of waiting today; None where the eager kernel has to run.
    """
    kernels = fused_kernels(torch.device("cpu"), "numba")
    if kernels is None:
        return None
    walk = kernels.trusted("policy_paths", walk_values, _walked_sample, _drawn_sample, _VALUES_TOLERANCE)
    if walk is None:
        return None
    fit = kernels.trusted(
        "policy", policy_loop, lambda fit: _fitted_sample(walk, fit), _trained_sample, _DEPTHS_TOLERANCE
    )
    if fit is None:
        return None
    values = _room(dates, count)
    return _fitted(fit, terms, count, values, _walked(walk, terms, stride, count, seed, sampler, values))


def _room(dates: int, count: int) -> NDArray[np.float32]:
    """Memory for the values, whose paths are whole tiles: used before, as new pages take milliseconds."""
    whole = result_array(shared_engine("cpu").pool, (3, dates, -(-count // _TILE) * _TILE // 2))
    return whole.view(np.float32)


def _walked(
    walk: Callable[..., None], terms: Exercise, stride: int, count: int, seed: int, sampler: str,
    values: NDArray[np.float32],
) -> NDArray[np.float64]:  # fmt: skip
    """Fill the values, paths in the tiles' order; the powers at each date, see `walk_values`."""
    source, (_, dates, width) = SOURCES[sampler], values.shape
    tiles = width // _TILE
    powers = np.zeros((tiles, dates, POWERS))
    some = max(1, PIECE // (dates * stride * _TILE))
    step = terms.expiry / dates
    drift = (terms.rate - terms.dividend_yield - 0.5 * terms.volatility**2) * step
    deviations = terms.volatility * step**0.5, terms.volatility * terms.expiry**0.5
    rates = terms.rate * step, terms.dividend_yield * step
    market = np.array([drift, deviations[0], terms.strike, terms.sign, *rates, deviations[1]], np.float32)

    def work(first: int) -> None:
        for tile in range(first, min(first + some, tiles)):
            walk(source, seed, tile * _TILE, _TILE, count, WIDTHS[source], stride, market, values, powers[tile])

    share(work, range(0, tiles, some), WORK * dates * (stride + 1) * count)
    return np.asarray(powers.sum(0))


def _fitted(
    fit: Callable[..., float], terms: Exercise, count: int, values: NDArray[np.float32], powers: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    depths = np.empty(values.shape[1])
    worth = fit(values, powers, count, terms.rate * terms.expiry / len(depths), depths)
    return depths, worth


_TERMS = Exercise(1.02, -1.0, 0.06, 0.01, 0.3, 0.9)


def _walked_sample(walk: Callable[..., None]) -> list[Tensor]:
    (_, dates, stride), count, found = _SAMPLE, _TILE + 5, []
    for sampler in ("pseudo", "fast"):
        values = _room(dates, count)
        _walked(walk, _TERMS, stride, count, 3, sampler, values)
        found += [each.double().sort(-1).values[:, -count:] for each in torch.from_numpy(values)]
    return found


def _drawn_sample() -> list[Tensor]:
    """The same by the eager formulas."""
    _, dates, stride = _SAMPLE
    size = dates * stride, _TILE + 5, 3
    return [each for drawn in (standard_normals(*size), counter_normals(*size)) for each in _values(drawn, stride)]


def _values(normals: Tensor, stride: int) -> list[Tensor]:
    """What `walk_values` finds, each date's paths in order."""
    sums = normals.double().cumsum(0)[stride - 1 :: stride] * stride**-0.5
    terms, spots, dates = _TERMS, _spots(sums), len(sums)
    paid = terms.sign * (spots - terms.strike)
    spread = terms.volatility * terms.expiry**0.5
    depth = ((spots / terms.strike).log() * terms.sign / spread).clamp(-DEPTH, DEPTH)
    excess = [
        paid[date] - _price(spots[date], terms.expiry * (1 - (date + 1) / dates)) for date in range(dates - 1)
    ]
    excess.append(torch.zeros_like(paid[0]))
    return [each.sort(-1).values for each in (depth, paid, torch.stack(excess))]


def _spots(sums: Tensor) -> Tensor:
    """Prices at dates from sums of one normal for each."""
    terms, dates = _TERMS, len(sums)
    time = torch.arange(1, dates + 1, dtype=torch.float64).unsqueeze(1) * (terms.expiry / dates)
    drift = terms.rate - terms.dividend_yield - 0.5 * terms.volatility**2
    return (drift * time + terms.volatility * (terms.expiry / dates) ** 0.5 * sums).exp()


def _fitted_sample(walk: Callable[..., None], fit: Callable[..., float]) -> list[Tensor]:
    count, dates, _ = _SAMPLE
    values = _room(dates, count)
    depths, worth = _fitted(fit, _TERMS, count, values, _walked(walk, _TERMS, 1, count, 4, "pseudo", values))
    return [torch.from_numpy(depths[:-1]), torch.tensor([worth])]


def _trained_sample() -> list[Tensor]:
    """The same by the eager kernel, its boundary in deviations."""
    count, dates, _ = _SAMPLE
    terms, spread = _TERMS, _TERMS.volatility * _TERMS.expiry**0.5
    spots, nothing = _spots(standard_normals(dates, count, 4).cumsum(0)), torch.empty(0)
    spots = torch.cat([torch.ones_like(spots[:1]), spots]).unsqueeze(0)
    paths = Paths(spots, nothing, 1, nothing, nothing, nothing, nothing, nothing, nothing)
    found = train_policy(paths, dates, terms.strike, terms.sign, terms.rate, terms.expiry, spread, _price)
    depths = (found.boundary / terms.strike).log() * terms.sign / spread
    return [depths[:-1], torch.tensor([found.continuation])]


def _price(spots: Tensor, left: float) -> Tensor:
    """The European option's."""
    return black_scholes.price(
        spots, _TERMS.strike, left, _TERMS.rate, _TERMS.volatility, _TERMS.dividend_yield, "put"
    )
