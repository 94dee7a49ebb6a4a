"""Portable standard normals: the same numbers on every machine and device, by row, seed and position.

Row j of seed s comes from a stream of its own (Philox with key (s, j)), and position i of it depends on nothing
else: more rows or more scenarios extend a matrix without changing what was there, and any range can be made alone.
Both samplers keep this; the scrambled Sobol sequence takes each dimension's scramble from that dimension's stream.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.errors import InputError

_DRAWS_PER_BLOCK = 4  # 64-bit words that one step of Philox's counter yields
_DROPPED = 12  # of a word's bits: 52 stay, so that the middle of the last cell is still below 1 in float64
_WORDS = 1 << 15  # made at a time: making words keeps the interpreter's lock, so that an event loop beside would wait
_SOBOL_BITS = 30  # of torch's direction numbers
_SOBOL_PIECE = 2**25  # points that are made on a device at a time

_TABLE_ROWS = 512  # direction numbers are made for a multiple of this many dimensions
_NEWTON_STEPS = 5

SAMPLERS = ("pseudo", "sobol")


def standard_normals(
    rows: int, count: int, seed: int = 0, sampler: str = "pseudo", start: int = 0, first_row: int = 0
) -> Tensor:
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
    start, first_row : int, default 0
        The first scenario and the first row: the corner of the endless matrix that is wanted.

    Returns
    -------
    Tensor
        Shape (rows, count), float64, on the CPU.

    Raises
    ------
    InputError
        If a count is not positive, the seed, `start` or `first_row` is outside its range, the sampler is unknown,
        or the Sobol sequence has no such row or scenario.

    References
    ----------
    Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3".
    Matousek (1998), "On the L2-discrepancy for anchored boxes", Journal of Complexity 14(4): the linear scramble.

    Examples
    --------
    >>> whole = standard_normals(2, 8, seed=7)
    >>> bool((standard_normals(1, 3, seed=7, start=5) == whole[:1, 5:]).all())
    True
    """
    return torch.special.ndtri(uniforms(rows, count, seed, sampler, start, first_row))


def uniforms(
    rows: int, count: int, seed: int = 0, sampler: str = "pseudo", start: int = 0, first_row: int = 0
) -> Tensor:
    """Make a matrix of uniforms strictly inside (0, 1): the numbers under `standard_normals`.

    Parameters, shape and errors are those of `standard_normals`.
    """
    _check_corner(rows, count, seed, start, first_row)
    if sampler not in SAMPLERS:
        raise InputError(f"`sampler` must be one of {', '.join(SAMPLERS)}, was {sampler!r}")
    draw = _philox_row if sampler == "pseudo" else _sobol_row
    return torch.from_numpy(np.stack([draw(seed, row, start, count) for row in range(first_row, first_row + rows)]))


def _check_corner(rows: int, count: int, seed: int, start: int, first_row: int) -> None:
    least = {"rows": (rows, 1), "count": (count, 1), "start": (start, 0), "first_row": (first_row, 0)}
    for name, (number, lowest) in least.items():
        if number < lowest:
            raise InputError(f"`{name}` must be at least {lowest}, was {number}")
    if not 0 <= seed < 2**63:
        raise InputError(f"`seed` must lie between 0 and 2**63 - 1, was {seed}")


def sobol_normals_into(block: Tensor, seed: int = 0, start: int = 0, first_row: int = 0) -> None:
    """Make the normals of `standard_normals` with the "sobol" sampler on the device where they are wanted.

    Parameters
    ----------
    block : Tensor
        Shape (rows, count), overwritten. Its device must compute in float64, in which each number is made before it
        is rounded.
    seed, start, first_row : int, default 0
        As of `standard_normals`, whose errors these are too.
    """
    rows, count = block.shape
    _check_corner(rows, count, seed, start, first_row)
    _check_sobol_end(start + count)
    drawn = [_scrambled(seed, row) for row in range(first_row, first_row + rows)]
    bits = min((count - 1).bit_length(), max(0, (_SOBOL_PIECE // rows).bit_length() - 1))
    points = torch.empty(rows, 1 << bits, dtype=torch.int64, device=block.device)
    points[:, 0] = torch.tensor([shift for _, shift in drawn]).to(block.device)
    directions = np.stack([direction for direction, _ in drawn])
    table = torch.from_numpy(directions).to(block.device)
    for bit in range(bits):
        points[:, 1 << bit : 2 << bit] = points[:, : 1 << bit].flip(1) ^ table[:, bit, None]
    for first in range(start - start % (1 << bits), start + count, 1 << bits):
        low, high = max(first, start), min(first + (1 << bits), start + count)
        moved = torch.from_numpy(_gray_shift(first, directions)).to(block.device)
        wanted = (points[:, low - first : high - first] ^ moved[:, None]).double()
        block[:, low - start : high - start] = torch.special.ndtri(wanted.add_(0.5).mul_(2.0**-_SOBOL_BITS))


def _philox_row(seed: int, row: int, start: int, count: int) -> NDArray[np.floating]:
    """One row from the raw words, whose stream numpy guarantees; a number is the middle of one of 2**52 cells."""
    blocks, skip = divmod(start, _DRAWS_PER_BLOCK)
    source, numbers = _philox(seed, row).advance(blocks), np.empty(skip + count)
    for first in range(0, len(numbers), _WORDS):
        part = numbers[first : first + _WORDS]
        part[:] = ((source.random_raw(len(part)) >> _DROPPED) + 0.5) * 2.0 ** (_DROPPED - 64)
    return numbers[skip:]


def _philox(seed: int, row: int) -> np.random.Philox:
    return np.random.Philox(key=np.array([seed, row], dtype=np.uint64))


def _sobol_row(seed: int, row: int, start: int, count: int) -> NDArray[np.floating]:
    """One dimension in Gray code order, as blocks whose points are those of the first block, moved by one number."""
    stop = start + count
    _check_sobol_end(stop)
    directions, shift = _scrambled(seed, row)
    bits = min(_SOBOL_BITS, (count - 1).bit_length())
    block, points = 1 << bits, np.empty(1 << bits, dtype=np.int64)
    points[0] = shift
    for bit, direction in enumerate(directions[:bits]):  # each power of two mirrors the points before it
        points[1 << bit : 2 << bit] = points[: 1 << bit][::-1] ^ direction
    wanted = np.empty(count)
    for first in range(start - start % block, stop, block):
        low, high = max(first, start), min(first + block, stop)
        wanted[low - start : high - start] = points[low - first : high - first] ^ _gray_shift(first, directions)
    return (wanted + 0.5) * 2.0**-_SOBOL_BITS


def _check_sobol_end(stop: int) -> None:
    if stop > 2**_SOBOL_BITS:
        raise InputError(f"`count` must end within the {2**_SOBOL_BITS} points of a Sobol sequence, was {stop}")


def _gray_shift(place: int, directions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Directions, along the last axis, by which a point at `place` differs from the first one."""
    code = place ^ (place >> 1)
    chosen = [bit for bit in range(_SOBOL_BITS) if code >> bit & 1]
    moved: NDArray[np.int64] = np.bitwise_xor.reduce(directions[..., chosen], axis=-1)
    return moved


def _scrambled(seed: int, row: int) -> tuple[NDArray[np.int64], int]:
    """Direction numbers times a random unit lower-triangular bit matrix, and a random digital shift."""
    words = _philox(seed, row).random_raw(_SOBOL_BITS + 1).astype(np.int64) & (2**_SOBOL_BITS - 1)
    places = 1 << np.arange(_SOBOL_BITS - 1, -1, -1)  # most significant first
    masks = (words[:-1] & (-2 * places)) | places
    bits = np.bitwise_count(_directions(row)[:, None] & masks) & 1
    return (bits * places).sum(axis=1), int(words[-1])


def direction_numbers(rows: int) -> NDArray[np.int64]:
    """The direction numbers of the first dimensions, shape (rows, 30), before they are scrambled."""
    _directions(rows - 1)
    return np.ascontiguousarray(_direction_table(_TABLE_ROWS * ((rows - 1) // _TABLE_ROWS + 1))[:rows])


def _directions(row: int) -> NDArray[np.int64]:
    """Joe and Kuo's (2008) direction numbers of one dimension, as torch has them."""
    if row >= torch.quasirandom.SobolEngine.MAXDIM:
        raise InputError(f"`rows` must be at most {torch.quasirandom.SobolEngine.MAXDIM} for sobol, was {row + 1}")
    return _direction_table(_TABLE_ROWS * (row // _TABLE_ROWS + 1))[row]


@lru_cache(maxsize=4)
def _direction_table(rows: int) -> NDArray[np.int64]:
    return torch.quasirandom.SobolEngine(min(rows, torch.quasirandom.SobolEngine.MAXDIM)).sobolstate.numpy()


def chi_square_quantile(probability: Tensor, degrees: float) -> Tensor:
    r"""Invert the chi-square distribution by Newton steps on its logarithm.

    Starts from Wilson and Hilferty's cube root of a normal; five steps on :math:`\log P(\nu/2, x/2)`, or on the
    survival function's logarithm in the upper half, both nearly straight lines of :math:`\log x`, reach the accuracy
    of torch's incomplete gamma function: 1e-13 relative up to 30 degrees, 1e-10 above.

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
    upper = probability > 0.5
    target = torch.where(upper, torch.log1p(-probability), probability.log())
    for _ in range(_NEWTON_STEPS):
        log_density = shape * x.log() - x - torch.lgamma(shape)  # of log x
        chance = torch.where(upper, torch.special.gammaincc(shape, x), torch.special.gammainc(shape, x))
        step = (target - chance.log()) * chance / log_density.exp()
        x = x * torch.exp(torch.where(upper, -step, step).clamp(-1, 1))
    return 2 * x

