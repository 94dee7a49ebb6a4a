"""Covariance estimators and their factors, in float64 on the host: small matrices, no place for a GPU."""

import torch
from torch import Tensor

from nautilus_metal.errors import InputError


def products(rows: Tensor) -> Tensor:
    """Products of each row with each, shape (rows, rows).

    Numpy makes half of a symmetric product and mirrors it, torch makes all of it: those on the host are numpy's.
    """
    if rows.device.type != "cpu" or rows.requires_grad or not rows.is_floating_point():
        return rows @ rows.T
    host = rows.numpy()
    return torch.from_numpy(host @ host.T)


def sample_covariance(returns: Tensor) -> Tensor:
    r"""Unbiased sample covariance about the sample mean.

    Parameters
    ----------
    returns : Tensor
        Shape (assets, periods).

    Returns
    -------
    Tensor
        Shape (assets, assets), per period.
    """
    return products(returns - returns.mean(dim=-1, keepdim=True)) / (returns.shape[-1] - 1)


def ewma_covariance(returns: Tensor, decay: float = 0.94) -> Tensor:
    r"""Exponentially weighted covariance about zero.

    .. math:: \Sigma = \frac{\sum_k \lambda^k\, r_{T-k} r_{T-k}'}{\sum_k \lambda^k}

    Parameters
    ----------
    returns : Tensor
        Shape (assets, periods), oldest first.
    decay : float, default 0.94
        Weight of one period against the one after it, in (0, 1).

    References
    ----------
    J.P. Morgan/Reuters (1996), "RiskMetrics - Technical Document", 4th ed., chapter 5.
    """
    if not 0 < decay < 1:
        raise InputError(f"`decay` must lie between 0 and 1, was {decay}")
    ages = torch.arange(returns.shape[-1] - 1, -1, -1, dtype=returns.dtype, device=returns.device)
    weights = decay**ages
    return (returns * (weights / weights.sum())) @ returns.T


def ledoit_wolf_covariance(returns: Tensor) -> Tensor:
    r"""Sample covariance shrunk towards a multiple of the identity with the optimal intensity.

    Parameters
    ----------
    returns : Tensor
        Shape (assets, periods).

    References
    ----------
    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
    Multivariate Analysis 88(2), lemmas 3.2 to 3.4.
    """
    assets, periods = returns.shape
    centred = returns - returns.mean(dim=-1, keepdim=True)
    covariance = products(centred) / periods
    mean_variance = covariance.diagonal().mean()
    target = mean_variance * torch.eye(assets, dtype=returns.dtype, device=returns.device)
    dispersion = ((covariance - target) ** 2).sum()
    squares = centred**2
    noise = ((products(squares) / periods).sum() - (covariance**2).sum()) / periods
    intensity = torch.where(dispersion > 0, (noise / dispersion).clamp(0, 1), torch.zeros_like(dispersion))
    return (1 - intensity) * covariance + intensity * target


def correlation(values: Tensor) -> Tensor:
    """Sample correlation of the rows of `values`, shape (assets, assets); of a row that never moves, zero.

    Parameters
    ----------
    values : Tensor
        Shape (assets, periods).

    Examples
    --------
    >>> correlation(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [5.0, 5.0, 5.0]])).round(decimals=6)
    tensor([[ 1., -1.,  0.],
            [-1.,  1.,  0.],
            [ 0.,  0.,  1.]])
    """
    found = products(values - values.mean(dim=-1, keepdim=True))
    return unit_diagonal(found, None if found.requires_grad else found)


def unit_diagonal(covariance: Tensor, out: Tensor | None = None) -> Tensor:
    """Scale a covariance, or a multiple, to a correlation; where a variance is zero, so are those with others."""
    deviation = covariance.diagonal().clamp(min=0).sqrt()
    scaled = torch.where(deviation > 0, 1 / deviation.clamp(min=1e-300), 0.0)
    found = torch.mul(torch.mul(covariance, scaled, out=out), scaled.unsqueeze(-1), out=out)
    return torch.clamp(found, -1, 1, out=out).fill_diagonal_(1.0)


def nearest_correlation(matrix: Tensor, least: float = 1e-8) -> Tensor:
    """Make a symmetric matrix of unit diagonal a correlation matrix: raise its eigenvalues, scale the diagonal back.

    References
    ----------
    Rousseeuw and Molenberghs (1993), "Transformation of non positive semidefinite correlation matrices",
    Communications in Statistics - Theory and Methods 22(4): the eigenvalue method.
    """
    values, vectors = torch.linalg.eigh(matrix)
    if float(values.min()) >= least:
        return matrix
    return unit_diagonal(vectors * values.clamp(min=least) @ vectors.T)


def factor(covariance: Tensor) -> Tensor:
    """Return L with L L' = covariance, for semi-definite matrices too.

    Cholesky where the matrix is positive definite, else the scaled eigenvectors: a constant price or more assets
    than periods make it singular.

    Parameters
    ----------
    covariance : Tensor
        Shape (assets, assets).

    Raises
    ------
    InputError
        If an eigenvalue is negative beyond rounding.
    """
    lower, info = torch.linalg.cholesky_ex(covariance)
    if int(info) == 0:
        return lower
    values, vectors = torch.linalg.eigh(covariance)
    if float(values.min()) < -1e-8 * max(float(values.max()), 1e-300):
        least = float(values.min())
        raise InputError(f"`covariance` must be positive semi-definite, its least eigenvalue was {least}")
    return vectors * values.clamp(min=0).sqrt()
