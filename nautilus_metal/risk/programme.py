"""Small convex programmes in float64 on the host: a dense interior-point method, so that no solver is needed."""

from dataclasses import dataclass

import numpy as np

from nautilus_metal.risk.book import Array

_STEPS = 100
_TOLERANCE = 1e-9
_BACK_OFF = 0.995  # share of the way to the boundary that a step may go


@dataclass(frozen=True)
class Optimum:
    """Where a programme's optimum lies.

    Attributes
    ----------
    x : ndarray, shape (variables,)
        The point.
    converged : bool
        Whether residuals and gap are within the tolerance; where not, `x` is the last iterate: no feasible point may
        exist.
    """

    x: Array
    converged: bool


def minimise(linear: Array, rows: Array, bounds: Array, quadratic: Array | None = None) -> Optimum:
    r"""Minimise :math:`\tfrac12 x^\top Q x + c^\top x` subject to :math:`G x \le h`.

    Mehrotra's predictor-corrector method on the dense normal equations: some twenty steps for any size, with numbers
    that should be of the order of one.

    Parameters
    ----------
    linear : ndarray, shape (variables,)
        c.
    rows : ndarray, shape (constraints, variables)
        G, of full column rank: bounds on every variable see to that.
    bounds : ndarray, shape (constraints,)
        h.
    quadratic : ndarray, shape (variables, variables), optional
        Q, positive semidefinite; zero where not given.

    References
    ----------
    Mehrotra (1992), "On the implementation of a primal-dual interior point method", SIAM Journal on Optimization 2.
    Nocedal and Wright (2006), "Numerical Optimization", algorithm 16.4.

    Examples
    --------
    >>> box = np.array([[1.0], [-1.0]])
    >>> round(float(minimise(np.array([-1.0]), box, np.array([3.0, 0.0])).x[0]), 6)
    3.0
    """
    q = np.zeros((len(linear), len(linear))) if quadratic is None else quadratic
    x = np.zeros(len(linear))
    slack = np.maximum(np.abs(bounds), 1.0)
    dual = np.ones(len(bounds))
    with np.errstate(all="ignore"):  # an infeasible programme runs off to infinity, which is its answer
        return _iterate(x, slack, dual, linear, rows, bounds, q)


def _iterate(
    x: Array, slack: Array, dual: Array, linear: Array, rows: Array, bounds: Array, q: Array
) -> Optimum:
    scale = 1.0 + max(np.abs(linear).max(initial=0.0), np.abs(bounds).max(initial=0.0))
    for _ in range(_STEPS):
        off_dual = q @ x + linear + rows.T @ dual
        off_primal = rows @ x + slack - bounds
        gap = float(slack @ dual) / len(bounds)
        if max(np.abs(off_dual).max(), np.abs(off_primal).max(), gap) <= _TOLERANCE * scale:
            return Optimum(x, True)
        system = q + rows.T @ (rows * (dual / slack)[:, None])
        system.flat[:: len(x) + 1] += 1e-14 * np.trace(system) / len(x)
        product = slack * dual
        if not (np.isfinite(system).all() and np.isfinite(off_primal).all()):
            break
        try:
            _, d_slack, d_dual = _direction(system, rows, slack, dual, off_dual, off_primal, product)
        except np.linalg.LinAlgError:
            break
        length = _length(slack, d_slack, dual, d_dual)
        ahead = float((slack + length * d_slack) @ (dual + length * d_dual)) / len(bounds)
        product = product + d_slack * d_dual - (ahead / gap) ** 3 * gap
        dx, d_slack, d_dual = _direction(system, rows, slack, dual, off_dual, off_primal, product)
        length = min(1.0, _BACK_OFF * _length(slack, d_slack, dual, d_dual, most=2.0))
        x, slack, dual = x + length * dx, slack + length * d_slack, dual + length * d_dual
    return Optimum(x, False)


def _direction(
    system: Array, rows: Array, slack: Array, dual: Array, off_dual: Array, off_primal: Array, product: Array
) -> tuple[Array, Array, Array]:
    """Solve the linearised optimality conditions for the step of x, slack and dual."""
    dx = np.linalg.solve(system, -off_dual + rows.T @ ((product - dual * off_primal) / slack))
    d_slack = -off_primal - rows @ dx
    return dx, d_slack, -(product + dual * d_slack) / slack


def _length(slack: Array, d_slack: Array, dual: Array, d_dual: Array, most: float = 1.0) -> float:
    """Return the longest step up to `most` that keeps slack and dual positive."""
    fastest = max(float((-d_slack / slack).max()), float((-d_dual / dual).max()))
    return min(most, 1.0 / fastest) if fastest > 0 else most
