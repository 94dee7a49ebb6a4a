"""Ranks and rank correlation of the rows of a matrix."""

import torch
from torch import Tensor

_BLOCK = 32  # periods compared with all later ones at a time: their signs stay in the cache


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1, equal values sharing the mean of theirs, shape (assets, periods).

    Examples
    --------
    >>> ranks(torch.tensor([[3.0, 1.0, 3.0, 2.0]]))
    tensor([[3.5000, 1.0000, 3.5000, 2.0000]])
    """
    ordered = values.sort(dim=-1).values
    below = torch.searchsorted(ordered, values.contiguous())
    upto = torch.searchsorted(ordered, values.contiguous(), right=True)
    return (below + upto + 1).to(values.dtype) / 2


def kendall(values: Tensor) -> Tensor:
    r"""Kendall's :math:`\tau_b` of the rows, shape (assets, assets); of a row that never moves, zero.

    .. math:: \tau_b = \frac{\sum_{s<t} \mathrm{sgn}(x_s - x_t)\, \mathrm{sgn}(y_s - y_t)}
        {\sqrt{n_x n_y}}

    with the numbers n of pairs that differ. Signs are counted exactly by matrix products, in float32.

    Parameters
    ----------
    values : Tensor
        Shape (assets, periods).

    References
    ----------
    Kendall (1945), "The treatment of ties in ranking problems", Biometrika 33(3).

    Examples
    --------
    >>> kendall(torch.tensor([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))[0, 1]
    tensor(0.3333)
    """
    assets, periods = values.shape
    place = ranks(values).to(torch.float32)  # halves up to 2**23 are exact
    total = torch.zeros(assets, assets, dtype=torch.float64, device=values.device)
    step = max(1, min(_BLOCK, 2**24 // periods))  # sums below 2**24 are exact
    for first in range(0, periods, step):
        block, later = place[:, first : first + step, None], place[:, None, first + step :]
        for others, weight in ((block.transpose(1, 2), 1), (later, 2)):  # a pair within the block comes twice
            signs = torch.sign(block - others).flatten(1)
            total += weight * (signs @ signs.T).to(total)
    moved = total.diagonal().sqrt()
    scale = torch.where(moved > 0, 1 / moved.clamp(min=1.0), 0.0)
    return (total * scale * scale.unsqueeze(-1)).to(values.dtype).fill_diagonal_(1.0)
