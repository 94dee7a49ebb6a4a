"""From scenario factors to the losses of a book: one pass over the scenarios, contiguous along the last axis."""

from typing import NamedTuple

import torch
from torch import Tensor


class ScenarioSet(NamedTuple):
    r"""Scenarios of log returns as a product: :math:`r = (A f) \cdot s + \mu`.

    Attributes
    ----------
    loading : Tensor
        A, shape (assets, factors), or (assets,) for a diagonal matrix.
    factors : Tensor
        f, shape (factors, scenarios).
    shift : Tensor
        mu, shape (assets,).
    scale : Tensor or None
        s, shape (scenarios,): the common factor of a Student-t scenario; None for one.
    """

    loading: Tensor
    factors: Tensor
    shift: Tensor
    scale: Tensor | None

    def part(self, columns: Tensor | slice) -> "ScenarioSet":
        """Return the scenarios of `columns` alone."""
        scale = None if self.scale is None else self.scale[columns]
        if isinstance(columns, slice):
            return ScenarioSet(self.loading, self.factors[:, columns], self.shift, scale)
        factors = self.factors.index_select(1, columns)  # several times faster than indexing
        return ScenarioSet(self.loading, factors, self.shift, scale)

    def asset(self, row: int) -> "ScenarioSet":
        """Return all scenarios of one asset."""
        diagonal = self.loading.dim() == 1
        factors = self.factors[row : row + 1] if diagonal else self.factors
        return ScenarioSet(self.loading[row : row + 1], factors, self.shift[row : row + 1], self.scale)


def scaled_factors(scenarios: ScenarioSet) -> Tensor:
    """Return f s, shape (factors, scenarios)."""
    return scenarios.factors if scenarios.scale is None else scenarios.factors * scenarios.scale


def scenario_returns(scenarios: ScenarioSet, out: Tensor | None = None) -> Tensor:
    """Evaluate every scenario's log returns, shape (assets, scenarios), into `out` where given."""
    loading, factors, shift, scale = scenarios
    if loading.dim() == 1:
        returns = torch.mul(loading[:, None], factors, out=out)
    else:
        returns = torch.matmul(loading, factors, out=out)
    if scale is not None:
        returns.mul_(scale)
    return returns.add_(shift[:, None])


def relative_changes(scenarios: ScenarioSet, linear: bool, out: Tensor | None = None) -> Tensor:
    r"""Relative price changes, shape (assets, scenarios): r itself where `linear`, else :math:`e^r - 1`."""
    returns = scenario_returns(scenarios, out)
    return returns if linear else returns.expm1_()


def net_loading(exposures: Tensor, loading: Tensor) -> Tensor:
    """Return the exposure of the whole book to each factor, v'A, shape (factors,)."""
    return exposures * loading if loading.dim() == 1 else exposures @ loading


def linear_losses(net: Tensor, drift: float, factors: Tensor, scale: Tensor | None) -> Tensor:
    r"""Losses of a book that is linear in log returns, without forming the returns: :math:`-(v'A) f s - v'\mu`.

    Parameters
    ----------
    net : Tensor
        v'A, see `net_loading`, shape (factors,). Made in float64 it leaves no rounding of the gross in a hedged book.
    drift : float
        Expected profit, v'mu.
    factors : Tensor
        f, shape (factors, scenarios).
    scale : Tensor or None
        s, shape (scenarios,).

    Returns
    -------
    Tensor
        Shape (scenarios,), a loss is positive.
    """
    profits = net @ factors
    if scale is not None:
        profits.mul_(scale)
    return torch.rsub(profits, -drift)


def full_losses(exposures: Tensor, scenarios: ScenarioSet, buffer: Tensor) -> Tensor:
    r"""Losses by full revaluation, :math:`-\sum_i v_i (e^{r_i} - 1)`, in pieces that fit `buffer`.

    Parameters
    ----------
    exposures : Tensor
        Signed value of each asset, shape (assets,).
    scenarios : ScenarioSet
        The scenarios.
    buffer : Tensor
        Scratch of shape (assets, piece); overwritten.

    Returns
    -------
    Tensor
        Shape (scenarios,), a loss is positive.
    """
    count, piece = scenarios.factors.shape[1], buffer.shape[1]
    losses = torch.empty(count, dtype=buffer.dtype, device=buffer.device)
    for start in range(0, count, piece):
        stop = min(start + piece, count)
        scratch = buffer.flatten()[: len(exposures) * (stop - start)].view(len(exposures), stop - start)
        changes = relative_changes(scenarios.part(slice(start, stop)), linear=False, out=scratch)
        losses[start:stop] = exposures @ changes
    return losses.neg_()
