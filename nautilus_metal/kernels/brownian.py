"""Draws for paths: independent normals in time order, antithetic pairs, and Sobol through a Brownian bridge."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nautilus_metal.kernels.counter_normals import counter_normals, counter_uniforms
from nautilus_metal.kernels.normals import uniforms

SCRAMBLES = 16  # independent randomisations of a Sobol sequence, whose spread is its standard error
_MASK = 2**64 - 1


class Draws(NamedTuple):
    """Random numbers of a block of paths.

    Attributes
    ----------
    normals : Tensor
        Standard normals, shape (factors, steps, paths), independent in all three.
    uniforms : Tensor
        Strictly inside (0, 1), shape (extra, paths).
    """

    normals: Tensor
    uniforms: Tensor


def draws(
    factors: int, steps: int, extra: int, count: int, seed: int = 0, sampler: str = "pseudo", start: int = 0
) -> Draws:
    """Make the random numbers of a range of paths on the host.

    Parameters
    ----------
    factors, steps : int
        Brownian motions, and the equal steps of each.
    extra : int
        Further uniforms of each path.
    count : int
        Paths; with antithetic pairs an even number, of which the second half mirrors the first.
    seed, start : int
        The stream, and the first path of the range (the first pair for antithetic).
    sampler : {"pseudo", "antithetic", "sobol", "fast"}
        "fast" are the numbers of `counter_normals`. With "sobol" the leading dimensions of the sequence decide the
        coarse shape of the path.

    Returns
    -------
    Draws
        float64, on the CPU.

    References
    ----------
    Caflisch, Morokoff and Owen (1997), "Valuation of mortgage-backed securities using Brownian bridges to reduce
    effective dimension", Journal of Computational Finance 1(1).

    Examples
    --------
    >>> made = draws(1, 4, 0, 6, sampler="antithetic")
    >>> bool((made.normals[..., 3:] == -made.normals[..., :3]).all())
    True
    """
    rows = factors * steps + extra
    if sampler == "antithetic":
        half = uniforms(rows, count // 2, seed, "pseudo", start)
        normals = torch.special.ndtri(half[: factors * steps])
        normals, rest = torch.cat([normals, -normals], -1), torch.cat([half, 1.0 - half], -1)[factors * steps :]
    elif sampler == "fast":
        normals = counter_normals(factors * steps, count, seed, start)
        rest = counter_uniforms(extra, count, seed, start, factors * steps)
    else:
        numbers = uniforms(rows, count, seed, sampler, start)
        normals, rest = torch.special.ndtri(numbers[: factors * steps]), numbers[factors * steps :]
    normals = normals.reshape(steps, factors, count).transpose(0, 1)
    if sampler == "sobol" and steps > 1:
        normals = torch.from_numpy(bridge_matrix(steps)) @ normals
    return Draws(normals.contiguous(), rest)


@lru_cache(maxsize=16)
def bridge_matrix(steps: int) -> NDArray[np.float64]:
    """Orthogonal map from normals in the order of a Brownian bridge to normals of successive increments.

    The first normal fixes the end of the path, the next one its middle, and so on by halves.

    Parameters
    ----------
    steps : int
        Equal steps.

    Returns
    -------
    ndarray
        Shape (steps, steps), float64: increments by bridge normals.

    Examples
    --------
    >>> matrix = bridge_matrix(6)
    >>> bool(np.allclose(matrix @ matrix.T, np.eye(6)))
    True
    """
    level = np.zeros((steps + 1, steps))
    nodes, weights = bridge_order(steps)
    for used, ((left, middle, right), (before, after, fresh)) in enumerate(zip(nodes, weights, strict=True)):
        level[middle] = before * level[left] + after * level[right]
        level[middle, used] = fresh
    return np.diff(level, axis=0)


@lru_cache(maxsize=16)
def bridge_order(steps: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nodes of a Brownian bridge in their order, and how each follows from its neighbours and a normal.

    Parameters
    ----------
    steps : int
        Equal steps, each of variance 1.

    Returns
    -------
    nodes, weights : ndarray
        Shape (steps, 3): left neighbour, node and right neighbour (node 0 is the start), and the weights of the left
        one, the right one and the normal.

    Examples
    --------
    >>> bridge_order(2)[0].tolist()
    [[0, 2, 0], [0, 1, 2]]
    """
    nodes, weights = [(0, steps, 0)], [(0.0, 0.0, np.sqrt(steps))]
    gaps = [(0, steps)]
    while gaps:
        left, right = gaps.pop(0)
        if right - left < 2:
            continue
        middle = (left + right) // 2
        share = (middle - left) / (right - left)
        nodes.append((left, middle, right))
        weights.append((1.0 - share, share, np.sqrt((middle - left) * (right - middle) / (right - left))))
        gaps += [(left, middle), (middle, right)]
    return np.array(nodes, dtype=np.int64), np.array(weights)


def stream_seed(seed: int, stream: int) -> int:
    """A seed for each stream of a seed (a scramble, a training sample) that no other pair shares in practice.

    Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators": the finaliser of SplitMix64.
    """
    if stream == 0:
        return seed
    mixed = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ (mixed >> 31)) >> 1
