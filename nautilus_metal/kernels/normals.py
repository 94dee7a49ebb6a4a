"""Portable standard normals: the same numbers on every machine and device, by row, seed and position.

Row j of seed s is a stream of its own (Philox with key (s, j)), and position i of it depends on nothing else: more
rows or more scenarios extend a matrix without changing what was there, and any range can be made alone.
"""

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.errors import InputError

_DRAWS_PER_BLOCK = 4  # 64-bit words that one step of Philox's counter yields
_UNIT = 2.0**-53

SAMPLERS = ("pseudo", "sobol")


def standard_normals(rows: int, count: int, seed: int = 0, sampler: str = "pseudo", start: int = 0) -> Tensor:
    """Make a matrix of standard normals on the host.

    Parameters
    ----------
    rows : int
        Independent variables (factors).
    count : int
        Scenarios of each.
    seed : int, default 0
        Selects the streams, 0 to 2**63 - 1.
    sampler : {"pseudo", "sobol"}
        Counter-based pseudo-random numbers, or a scrambled Sobol sequence (a row is a dimension).
    start : int, default 0
        The first scenario.

    Returns
    -------
    Tensor
        Shape (rows, count), float64, on the CPU.

    Raises
    ------
    InputError
        If a count is not positive or the sampler is unknown.

    References
    ----------
    Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
    Owen (1998), "Scrambling Sobol' and Niederreiter-Xing points".

    Examples
    --------
    >>> whole = standard_normals(2, 8, seed=7)
    >>> bool((standard_normals(1, 3, seed=7, start=5) == whole[:1, 5:]).all())
    True
    """
    return torch.special.ndtri(uniforms(rows, count, seed, sampler, start))


def uniforms(rows: int, count: int, seed: int = 0, sampler: str = "pseudo", start: int = 0) -> Tensor:
    """Make a matrix of uniforms strictly inside (0, 1): the numbers under `standard_normals`.

    Parameters, shape and errors are those of `standard_normals`.
    """
    for name, number in (("rows", rows), ("count", count)):
        if number < 1:
            raise InputError(f"`{name}` must be at least 1, was {number}")
    if sampler == "pseudo":
        return torch.stack([_philox_row(seed, row, start, count) for row in range(rows)])
    if sampler == "sobol":
        return _sobol(rows, count, seed, start)
    raise InputError(f"`sampler` must be one of {', '.join(SAMPLERS)}, was {sampler!r}")


def _philox_row(seed: int, row: int, start: int, count: int) -> Tensor:
    """One row from the raw words, whose stream numpy guarantees."""
    generator = np.random.Philox(key=np.array([seed, row], dtype=np.uint64))
    blocks, skip = divmod(start, _DRAWS_PER_BLOCK)
    generator.advance(blocks)
    words = generator.random_raw(skip + count)[skip:]
    return torch.from_numpy(((words >> 11) + 0.5) * _UNIT)


def _sobol(rows: int, count: int, seed: int, start: int) -> Tensor:
    engine = torch.quasirandom.SobolEngine(rows, scramble=True, seed=seed)
    if start:
        engine.fast_forward(start)
    draws = engine.draw(count, dtype=torch.float64).T.contiguous()
    return draws.clamp(_UNIT, 1 - _UNIT)


def chi_square_quantile(probability: Tensor, degrees: float) -> Tensor:
    r"""Invert the chi-square distribution by Newton steps on :math:`P(\nu/2, x/2)`.

    Starts from Wilson and Hilferty's cube root of a normal; eight steps in the logarithm of x reach 1e-12.

    Parameters
    ----------
    probability : Tensor
        In (0, 1), float64 on the CPU.
    degrees : float
        Degrees of freedom, above 0.

    Returns
    -------
    Tensor
        The quantiles, of the same shape.

    References
    ----------
    Wilson and Hilferty (1931), "The distribution of chi-square", PNAS 17(12).

    Examples
    --------
    >>> round(float(chi_square_quantile(torch.tensor([0.95], dtype=torch.float64), 5.0)), 6)
    11.070498
    """
    shape = torch.tensor(degrees / 2, dtype=torch.float64)
    ninth = 2 / (9 * degrees)
    normal = torch.special.ndtri(probability)
    cube = (degrees * (1 - ninth + normal * ninth**0.5) ** 3) / 2
    small = torch.exp((probability.log() + torch.lgamma(shape + 1)) / shape)  # P(a, x) is x^a / Gamma(a+1) near 0
    x = torch.where(cube > 0.05 * shape, cube, small)
    for _ in range(8):
        log_density = shape * x.log() - x - torch.lgamma(shape)  # of log x
        step = (torch.special.gammainc(shape.expand_as(x), x) - probability) / log_density.exp()
        x = x * torch.exp(-step.clamp(-1, 1))
    return 2 * x
