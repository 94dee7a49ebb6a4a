"""The exercise policy of an American option by the compiled loops of `kernels.fused_policy`."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.engine.fused import fused_kernels
from nautilus_metal.engine.fused_paths import PIECE, WORK
from nautilus_metal.engine.threads import share
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.fused_policy import policy_loop, walk_sums
from nautilus_metal.kernels.longstaff_schwartz import train_policy
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.kernels.paths import Paths

_TILE = 1024  # paths that are walked at a time
_SUMS_TOLERANCE, _DEPTHS_TOLERANCE = 2e-6, 5e-3  # of the largest sum; of the deepest boundary, and of the value
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
    terms: Exercise, dates: int, stride: int, count: int, seed: int
) -> tuple[NDArray[np.float64], float] | None:
    """Fit the boundary on pseudo-random paths of their own.

    Parameters
    ----------
    terms : Exercise
        Of the option.
    dates, stride : int
        Exercise dates, and steps of a path between them.
    count, seed : int
        Paths and their stream.

    Returns
    -------
    tuple or None
        How far in the money the option is exercised at each date, in deviations at expiry, shape (dates,), and the
        value of waiting today; None where the eager kernel has to run.
    """
    kernels = fused_kernels(torch.device("cpu"), "numba")
    if kernels is None:
        return None
    walk = kernels.trusted("policy_paths", walk_sums, _walked_sample, _drawn_sample, _SUMS_TOLERANCE)
    fit = kernels.trusted("policy", policy_loop, _fitted_sample, _trained_sample, _DEPTHS_TOLERANCE)
    if walk is None or fit is None:
        return None
    return _fitted(fit, terms, _walked(walk, dates, stride, count, seed), stride)


def _walked(walk: Callable[..., None], dates: int, stride: int, count: int, seed: int) -> NDArray[np.float32]:
    """Sums of normals at each date, shape (dates, count), the paths in the order of the tiles."""
    tiles = -(-count // _TILE)
    sums = np.empty((dates, tiles * _TILE), np.float32)
    some = max(1, PIECE // (dates * stride * _TILE))

    def work(first: int) -> None:
        for tile in range(first, min(first + some, tiles)):
            walk(seed, tile * _TILE, _TILE, stride, sums)

    share(work, range(0, tiles, some), WORK * dates * stride * count)
    beyond = tiles * _TILE - count
    if not beyond:
        return sums
    place = np.arange(_TILE)
    path = 4 * (place % (_TILE // 4)) + place // (_TILE // 4)
    return np.delete(sums, np.flatnonzero(path >= _TILE - beyond) + count + beyond - _TILE, axis=1)


def _fitted(
    fit: Callable[..., float], terms: Exercise, sums: NDArray[np.float32], stride: int
) -> tuple[NDArray[np.float64], float]:
    dates = len(sums)
    step = terms.expiry / dates
    drift = (terms.rate - terms.dividend_yield - 0.5 * terms.volatility**2) * step
    rates = terms.rate * step, terms.dividend_yield * step
    market = np.array([drift, 1.0, terms.strike, terms.sign, *rates, 1.0], np.float32)
    market[1], market[6] = terms.volatility * step**0.5, terms.volatility * terms.expiry**0.5
    depths = np.empty(dates)
    worth = fit(sums if stride == 1 else sums * np.float32(stride**-0.5), market, depths)
    return depths, worth


def _drawn_sample() -> list[Tensor]:
    _, dates, stride = _SAMPLE
    normals = standard_normals(dates * stride, _TILE + 5, 3)
    return [normals.cumsum(0)[stride - 1 :: stride].sort(-1).values]


def _walked_sample(walk: Callable[..., None]) -> list[Tensor]:
    _, dates, stride = _SAMPLE
    return [torch.from_numpy(_walked(walk, dates, stride, _TILE + 5, 3)).double().sort(-1).values]


_TERMS = Exercise(1.02, -1.0, 0.06, 0.01, 0.3, 0.9)


def _sums() -> Tensor:
    count, dates, _ = _SAMPLE
    return standard_normals(dates, count, 4).cumsum(0)


def _fitted_sample(fit: Callable[..., float]) -> list[Tensor]:
    depths, worth = _fitted(fit, _TERMS, _sums().numpy().astype(np.float32), 1)
    return [torch.from_numpy(depths[:-1]), torch.tensor([worth])]


def _trained_sample() -> list[Tensor]:
    """The same by the eager kernel, its boundary in deviations."""
    terms, sums = _TERMS, _sums()
    dates, spread = len(sums), terms.volatility * terms.expiry**0.5
    time = torch.arange(1, dates + 1, dtype=torch.float64).unsqueeze(1) * (terms.expiry / dates)
    drift = terms.rate - terms.dividend_yield - 0.5 * terms.volatility**2
    spots = (drift * time + terms.volatility * (terms.expiry / dates) ** 0.5 * sums).exp()
    nothing = torch.empty(0)
    spots = torch.cat([torch.ones_like(spots[:1]), spots]).unsqueeze(0)
    paths = Paths(spots, nothing, 1, nothing, nothing, nothing, nothing, nothing, nothing)
    rest = terms.rate, terms.volatility, terms.dividend_yield, "put"
    price = partial(_price, terms.strike, rest)
    found = train_policy(paths, dates, terms.strike, terms.sign, terms.rate, terms.expiry, spread, price)
    depths = (found.boundary / terms.strike).log() * terms.sign / spread
    return [depths[:-1], torch.tensor([found.continuation])]


def _price(strike: float, rest: tuple[float, float, float, str], spots: Tensor, left: float) -> Tensor:
    return black_scholes.price(spots, strike, left, *rest)
