"""First-order linear recurrences over a long last axis: what EMA, Wilder smoothing and EWMA all are."""

from functools import lru_cache
from math import isqrt

import torch
from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.errors import InputError

TRIANGLES = 1 << 24  # elements of all triangles that are not worth narrower blocks
BLOCK = 64  # a block's triangle stays in the L1 cache, and is wide enough for matmul to run at speed


def linear_recurrence(x: Tensor, decay: float | Tensor, initial: float | Tensor | None = None) -> Tensor:
    """Solve ``y[t] = decay * y[t-1] + x[t]`` over the last axis, with ``y[-1] = initial``.

    The axis is cut into blocks. Inside a block the solution is a product with the lower triangle of the powers
    of `decay`; the ends of the blocks obey the same recurrence with ``decay ** BLOCK``, which is solved the same
    way. No power is ever divided by, so a long series neither underflows nor overflows for ``|decay| <= 1``.

    Parameters
    ----------
    x : Tensor
        Inputs, shape (..., time), float32 or float64, on any device. They must be finite: a NaN spoils its
        whole block, earlier steps included.
    decay : float or Tensor
        One factor for all series, or a tensor that broadcasts to ``x.shape[:-1]``. Its powers are made in
        float64 where its device has float64; it may lie on the CPU when `x` does not.
    initial : float or Tensor, optional
        The value before the first step, broadcastable to ``x.shape[:-1]``; zero if not given.

    Returns
    -------
    Tensor
        Shape (..., time), dtype and device of `x`.

    Raises
    ------
    InputError
        If `x` has no axis or is not floating point, or `decay` or `initial` does not fit its shape.

    References
    ----------
    Blelloch, G. E. (1990). Prefix sums and their applications, section 1.4 (first-order recurrences).

    Examples
    --------
    >>> linear_recurrence(torch.tensor([1.0, 0.0, 0.0, 2.0]), 0.5)
    tensor([1.0000, 0.5000, 0.2500, 2.1250])
    >>> linear_recurrence(torch.zeros(2, 3), torch.tensor([1.0, 0.5]), initial=8.0)
    tensor([[8., 8., 8.],
            [4., 2., 1.]])
    """
    if x.dim() == 0 or not x.is_floating_point():
        raise InputError(f"`x` must be floating point with a time axis, was {x.dtype} of shape {tuple(x.shape)}")
    series = x.shape[:-1]
    start = None if initial is None else _fit("initial", initial, series).to(x)
    if not isinstance(decay, Tensor):
        return _solve(x, float(decay), start) if x.numel() else x.clone()
    rate = _fit("decay", decay, series)
    exact = torch.float32 if rate.device.type == "mps" else torch.float64
    return _solve(x, rate.to(exact), start) if x.numel() else x.clone()


def _fit(name: str, value: float | Tensor, series: torch.Size) -> Tensor:
    """Return `value` as a tensor with one axis per axis of `series`, each of its length or of 1."""
    tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    extra = len(series) - tensor.dim()
    if extra < 0 or any(n not in (1, m) for n, m in zip(tensor.shape, series[extra:], strict=True)):
        raise InputError(f"`{name}` must broadcast to {tuple(series)}, was of shape {tuple(tensor.shape)}")
    return tensor.reshape((1,) * extra + tuple(tensor.shape))


def _solve(x: Tensor, rate: float | Tensor, start: Tensor | None) -> Tensor:
    """Solve the recurrence for checked inputs: blocks by one product, the carries between them by recursion."""
    series, length = x.shape[:-1], x.shape[-1]
    width = _width(x, rate)
    count = -(-length // width)
    blocks = pad(x, (0, count * width - length)).reshape(*series, count, width)

    if isinstance(rate, Tensor):
        powers = rate.unsqueeze(-1) ** torch.arange(width + 1, dtype=rate.dtype, device=rate.device)
        triangle, carried = _triangle(powers[..., :width].to(x)), powers[..., 1:].to(x)
        rate = powers[..., width]
    else:
        triangle, carried = _tables(rate, width, x.dtype, x.device)
        rate = rate**width
    local = _triangular_product(blocks, triangle)
    if count == 1 and start is None:
        return local.reshape(x.shape)

    before = torch.zeros_like(x[..., 0]) if start is None else start.expand(series)
    before = before.unsqueeze(-1)
    if count > 1:
        carries = _solve(local[..., :-1, -1], rate, start)
        before = torch.cat([before, carries], dim=-1)
    solved = local + before.unsqueeze(-1) * carried.unsqueeze(-2)
    return solved.reshape(*series, count * width)[..., :length]


def _width(x: Tensor, rate: float | Tensor) -> int:
    """Steps of a block: so few that triangles of very many decays take at most four times the room of `x`."""
    width = min(BLOCK, x.shape[-1])
    if not isinstance(rate, Tensor) or rate.numel() * width * width <= TRIANGLES:
        return width
    return min(width, isqrt(4 * x.numel() // rate.numel()))


@lru_cache(maxsize=64)
def _tables(decay: float, width: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Triangle and carried powers of one decay for all series: streams of ticks ask for the same ones."""
    powers = decay ** torch.arange(width + 1, dtype=torch.float64)
    return _triangle(powers[:width]).to(device, dtype), powers[1:].to(device, dtype)


def _triangle(powers: Tensor) -> Tensor:
    """Lower-triangular matrices of `powers`, shape (..., width, width); axes that all series share are dropped."""
    width = powers.shape[-1]
    outer = powers.dim() - 1
    while outer and powers.shape[outer - 1] == 1:
        outer -= 1
    step = torch.arange(width, device=powers.device)
    lag = step.unsqueeze(0) - step.unsqueeze(1)  # row: input, column: output
    kept = powers.reshape(*powers.shape[:outer], width)
    return torch.where(lag >= 0, kept[..., lag.clamp(min=0)], 0.0)


def _triangular_product(blocks: Tensor, triangle: Tensor) -> Tensor:
    """Apply the triangle to each block; series of one decay share one product."""
    rows = blocks.reshape(*blocks.shape[: triangle.dim() - 2], -1, triangle.shape[-1])
    return (rows @ triangle).reshape(blocks.shape)
