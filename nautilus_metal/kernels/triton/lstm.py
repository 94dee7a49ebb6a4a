"""Stacked LSTM layers over a batch: a launch does one step of every layer, each a step of time behind the one below.

The equations are those of `torch.nn.LSTM`. Layers that wait for each other only by a step of time share a launch, so
that a batch takes steps + layers - 1 of them, which a CUDA graph replays without the host.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nautilus_metal.kernels.triton.language import cdiv, jit, tl

_BATCH, _HIDDEN, _INNER, _WARPS = 32, 16, 64, 4


class Weights(NamedTuple):
    """Of all layers; the columns are input, forget, cell and output gate of each unit in turn.

    Attributes
    ----------
    inputs : Tensor
        Shape (layers, widest input, 4 * hidden); rows beyond a layer's own input are zero.
    hidden : Tensor
        Shape (layers, hidden, 4 * hidden).
    bias : Tensor
        Both of torch's, added, shape (layers, 4 * hidden).
    """

    inputs: Tensor
    hidden: Tensor
    bias: Tensor


def pack_weights(lstm: torch.nn.LSTM) -> Weights:
    """Lay the weights of a network out for the kernel: layers of one direction, with biases, without projections."""
    layers, hidden = range(lstm.num_layers), lstm.hidden_size
    widest = max(lstm.input_size, hidden)

    def by_unit(rows: Tensor) -> Tensor:
        return rows.detach().unflatten(0, (4, hidden)).transpose(0, 1).flatten(0, 1).movedim(0, -1)

    rows = [by_unit(getattr(lstm, f"weight_ih_l{k}")) for k in layers]
    inputs = torch.stack([torch.nn.functional.pad(row, (0, 0, 0, widest - len(row))) for row in rows])
    across = torch.stack([by_unit(getattr(lstm, f"weight_hh_l{k}")) for k in layers])
    bias = [by_unit(getattr(lstm, f"bias_ih_l{k}") + getattr(lstm, f"bias_hh_l{k}")) for k in layers]
    return Weights(inputs.contiguous(), across.contiguous(), torch.stack(bias).contiguous())


@jit()
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@jit()
def _tanh(x):
    return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@jit()
def _product(made, source, stride, rows, kept, weights, width, column, held, columns, PRECISION: tl.constexpr,
             INNER: tl.constexpr):  # fmt: skip
    """Add the products of some rows and some columns of the weights."""
    lanes = tl.arange(0, INNER)
    for start in range(0, width, INNER):
        inner = start + lanes
        left = tl.load(
            source + rows[:, None] * stride + inner[None, :], mask=kept[:, None] & (inner < width)[None, :], other=0.0
        )
        right = tl.load(
            weights + inner[:, None] * columns + column[None, :],
            mask=(inner < width)[:, None] & held[None, :], other=0.0,
        )  # fmt: skip
        made = tl.dot(left, right, made, input_precision=PRECISION)
    return made


@jit("step", "steps", "features")
def _step(
    window, states, cells, inputs, across, bias, step, steps, batch, features, widest, hidden,
    PRECISION: tl.constexpr, BATCH: tl.constexpr, HIDDEN: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Layer k does time step - k; states (layers, steps + 1, batch, hidden), those before the first are zero."""
    layer = tl.program_id(2)
    time = step - layer
    if (time >= 0) & (time < steps):
        rows = tl.program_id(0) * BATCH + tl.arange(0, BATCH)
        unit = tl.program_id(1) * HIDDEN + tl.arange(0, HIDDEN)
        column = tl.program_id(1) * 4 * HIDDEN + tl.arange(0, 4 * HIDDEN)
        kept = rows < batch
        columns = 4 * hidden
        held = column < columns
        plane = batch * hidden
        own = states + layer * (steps + 1) * plane
        gates = tl.zeros([BATCH, 4 * HIDDEN], tl.float32)
        gates += tl.load(bias + layer * columns + column, mask=held, other=0.0)[None, :]
        gates = _product(gates, own + time * plane, hidden, rows, kept, across + layer * hidden * columns, hidden,
                         column, held, columns, PRECISION, INNER)  # fmt: skip
        if layer == 0:
            gates = _product(gates, window + time * features, steps * features, rows, kept, inputs, features,
                             column, held, columns, PRECISION, 16)  # fmt: skip
        else:
            below = own - (steps + 1) * plane + (time + 1) * plane
            gates = _product(gates, below, hidden, rows, kept, inputs + layer * widest * columns, hidden,
                             column, held, columns, PRECISION, INNER)  # fmt: skip
        even, odd = tl.split(tl.reshape(gates, [BATCH, HIDDEN, 2, 2]))
        entry, fresh = tl.split(even)
        forget, out = tl.split(odd)
        tile = rows[:, None] * hidden + unit[None, :]
        mask = kept[:, None] & (unit < hidden)[None, :]
        cell = cells + layer * plane + tile
        state = _sigmoid(forget) * tl.load(cell, mask=mask, other=0.0) + _sigmoid(entry) * _tanh(fresh)
        tl.store(cell, state, mask=mask)
        tl.store(own + (time + 1) * plane + tile, _sigmoid(out) * _tanh(state), mask=mask)


def last_state(window: Tensor, weights: Weights, precision: str = "tf32x3") -> Tensor:
    """Run the layers over windows.

    Parameters
    ----------
    window : Tensor
        Shape (batch, time, features), float32, contiguous.
    weights : Weights
        From `pack_weights`, on the device of the window.
    precision : str
        Of the products, as `triton.language.dot` names it: "tf32x3" is float32 to rounding.

    Returns
    -------
    Tensor
        The last layer's last state, shape (batch, hidden).
    """
    batch, steps, features = window.shape
    layers, widest, width = weights.inputs.shape
    hidden = width // 4
    states = torch.empty(layers, steps + 1, batch, hidden, device=window.device)
    states[:, 0].zero_()
    cells = torch.zeros(layers, batch, hidden, device=window.device)
    grid = (cdiv(batch, _BATCH), cdiv(hidden, _HIDDEN), layers)
    for step in range(steps + layers - 1):
        _step[grid](
            window, states, cells, *weights, step, steps, batch, features, widest, hidden, PRECISION=precision,
            BATCH=_BATCH, HIDDEN=_HIDDEN, INNER=_INNER, num_warps=_WARPS,
        )  # fmt: skip
    return states[-1, -1]
