"""Moving averages over a whole history, as TA-Lib and NautilusTrader's built-in indicators start them."""

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor
from torch.nn.functional import pad

from nautilus_metal.errors import InputError
from nautilus_metal.kernels.recurrence import linear_recurrence
from nautilus_metal.kernels.windows import window_moments

WORKING_ELEMENTS = 1 << 22  # windows unfolded at a time: 32 MiB of float64


def window_mean(x: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Average `x` from bar `first` to bar `last`, both inclusive, for several windows at once.

    Parameters
    ----------
    x : Tensor
        Shape (series, time), or (settings, series, time) for an input per window.
    first, last : Tensor
        Shape (settings,), on the CPU.

    Returns
    -------
    Tensor
        Shape (settings, series, 1); of no meaning where `last` is beyond the end.
    """
    time, first, last = _bars(min(int(last.max()) + 1, x.shape[-1]), x), _column(first, x), _column(last, x)
    share = ((time >= first) & (time <= last)) / (last - first + 1.0)
    return (x[..., : time.numel()] * share).sum(-1, keepdim=True)


def seeded_recurrence(x: Tensor, decay: Tensor, seed: Tensor, last: Tensor) -> Tensor:
    """Solve ``y[t] = decay*y[t-1] + x[t]`` after bar `last`, where ``y[last] = seed``; before it, y is 0.

    Parameters
    ----------
    x : Tensor
        Shape (settings, series, time).
    decay, last : Tensor
        Shape (settings,), on the CPU.
    seed : Tensor
        Shape (settings, series, 1).

    Returns
    -------
    Tensor
        Shape (settings, series, time).
    """
    time, last = _bars(x.shape[-1], x), _column(last, x)
    inputs = torch.where(time > last, x, torch.where(time == last, seed, 0.0))
    return linear_recurrence(inputs, decay.view(-1, 1))


def _bars(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device)


def _column(settings: Tensor, like: Tensor) -> Tensor:
    return settings.to(like).view(-1, 1, 1)


def exponential_average(x: Tensor, decay: float) -> Tensor:
    """Smooth exponentially from the first input on: ``y[0] = x[0]``; shapes (..., time)."""
    return linear_recurrence(torch.cat([x[..., :1], (1.0 - decay) * x[..., 1:]], dim=-1), decay)


def weighted_average(x: Tensor, weights: Tensor) -> Tensor:
    """Average over windows with `weights`, the newest last; while a window fills, over its newest weights.

    Parameters
    ----------
    x : Tensor
        Shape (..., time).
    weights : Tensor
        Shape (period,), positive.
    """
    length = x.shape[-1]
    if not length:
        return x.clone()
    weights = weights[max(0, weights.numel() - length) :].to(x)  # older ones never meet a bar
    period = weights.numel()
    padded = pad(x, (period - 1, 0))
    step = max(1, WORKING_ELEMENTS * length // max(1, x.numel() * period))
    parts = [
        (padded[..., start : min(start + step, length) + period - 1].unfold(-1, period, 1) * weights).sum(-1)
        for start in range(0, length, step)
    ]
    present = weights.flip(0).cumsum(0)
    return torch.cat(parts, dim=-1) / torch.cat([present, present[-1:].expand(length - period)])


def _simple(x: Tensor, period: int) -> Tensor:
    return window_moments(x, period).mean


def _ema(x: Tensor, period: int) -> Tensor:
    return exponential_average(x, 1.0 - 2.0 / (period + 1.0))


def _wilder(x: Tensor, period: int) -> Tensor:
    return exponential_average(x, 1.0 - 1.0 / period)


def _double_ema(x: Tensor, period: int) -> Tensor:
    once = _ema(x, period)
    return 2.0 * once - _ema(once, period)


def _hull(x: Tensor, period: int) -> Tensor:
    """Hull, A. (2005): a linearly weighted mean of twice the half-period one less the whole-period one."""

    def linear(values: Tensor, bars: int) -> Tensor:
        return weighted_average(values, torch.arange(1, bars + 1, dtype=values.dtype, device=values.device))

    return linear(2.0 * linear(x, period // 2) - linear(x, period), isqrt(period))


# The averages of the host's built-in indicators, by the names of its `MovingAverageType`. Its WEIGHTED is made
# without weights there, so a simple one. VARIABLE_INDEX_DYNAMIC has no row: its decay depends on the data, bar
# by bar, and it is stepped on the host instead.
MOVING_AVERAGES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "SIMPLE": _simple,
    "WEIGHTED": _simple,
    "EXPONENTIAL": _ema,
    "WILDER": _wilder,
    "DOUBLE_EXPONENTIAL": _double_ema,
    "HULL": _hull,
}


def named_average(name: str) -> Callable[[Tensor, int], Tensor]:
    """Return the row `name` of `MOVING_AVERAGES`; `InputError` if there is none."""
    if name not in MOVING_AVERAGES:
        raise InputError(f"`average` must be one of {', '.join(MOVING_AVERAGES)}, was {name!r}")
    return MOVING_AVERAGES[name]
