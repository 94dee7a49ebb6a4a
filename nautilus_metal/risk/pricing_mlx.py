"""Monte Carlo through MLX: paths, payoffs and derivatives of European and Asian options under Black-Scholes.

The same random numbers, estimators and control variates as through torch (see `kernels.path_greeks`), so that the
figures agree to float32.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from nautilus_metal.engine.mlx_arrays import from_mlx, mlx, to_mlx
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.brownian import Draws
from nautilus_metal.risk.pricing_terms import Terms

BACKENDS = ("torch", "mlx")
STYLES = ("european", "asian")

Payoff = Callable[[Any], Any]


def check_mlx(terms: Terms) -> None:
    """Refuse what MLX does not simulate here, and machines without it."""
    mlx()
    if terms.style not in STYLES or terms.model != "black_scholes":
        raise InputError(
            f"`backend` must be 'torch' for style {terms.style!r} under model {terms.model!r}, was 'mlx', which has "
            f"styles {', '.join(STYLES)} under 'black_scholes'"
        )


def mlx_figures(terms: Terms) -> Callable[[Draws], Tensor]:
    """Make `Plan.figures` of contracts; shape (1 + controls, figures, contracts, paths).

    Rows are those of `path_greeks.names`; the controls are those of `pricing_controls.control_payoffs`.
    """
    mx, x = mlx(), terms.inputs
    rows = (x.spot[0], x.volatility[0], x.rate, x.expiry, x.dividend_yield[0])
    market = [to_mlx(row.unsqueeze(-1)) for row in rows]
    payoffs, scheduled = _payoffs(terms), terms.style == "asian"

    def figures(drawn: Draws) -> Tensor:
        z = to_mlx(drawn.normals[0])
        shape = (terms.contracts, z.shape[-1])
        leaves = [mx.broadcast_to(row, shape) for row in market[:4]]
        score = _score(z, leaves[1], leaves[3], scheduled)

        def value(payoff: Payoff, spot: Any, volatility: Any, rate: Any, expiry: Any) -> list[Any]:
            spots = _spots(z, spot, volatility, rate, expiry, market[4], scheduled)
            return [mx.exp(-rate * expiry) * payoff(spots)]

        return from_mlx(mx.stack([_rows(partial(value, payoff), leaves, score) for payoff in payoffs]))

    return figures


def _rows(value: Callable[..., list[Any]], leaves: list[Any], score: Any) -> Any:
    """Value and derivatives of each path, shape (figures, contracts, paths)."""
    mx = mlx()
    (price,), (delta, vega, rho, maturity) = mx.vjp(value, leaves, [mx.ones_like(leaves[0])])
    gamma = delta * (score - 1.0) / leaves[0]
    return mx.stack([price, delta, gamma, vega, -maturity, rho])


def _score(z: Any, volatility: Any, expiry: Any, scheduled: bool) -> Any:
    """Spot times the derivative by the spot of the log density of the first date, or of the only one."""
    mx, steps = mlx(), len(z)
    if scheduled:
        return z[0] / (volatility * mx.sqrt(expiry / steps))
    return z.sum(0) / steps**0.5 / (volatility * mx.sqrt(expiry))


def _spots(z: Any, spot: Any, volatility: Any, rate: Any, expiry: Any, dividend_yield: Any, scheduled: bool) -> Any:
    """Prices at the ends of the steps, shape (steps, contracts, paths); dates that are scheduled stay."""
    mx, steps = mlx(), len(z)

    def moves(length: Any, normals: Any) -> Any:
        deviation = volatility * mx.sqrt(length)
        return (rate - dividend_yield) * length - 0.5 * deviation * deviation + deviation * normals

    if not scheduled:
        return spot * mx.exp(mx.cumsum(moves(expiry / steps, z), 0))
    later = mx.stop_gradient(expiry / steps)
    first = moves(later + (expiry - mx.stop_gradient(expiry)), z[:1])
    return spot * mx.exp(mx.cumsum(mx.concatenate([first, moves(later, z[1:])], 0), 0))


def _payoffs(terms: Terms) -> list[Payoff]:
    """The contract's, undiscounted, and its controls': the price itself, for an arithmetic mean the geometric one."""
    mx = mlx()
    strike, sign = (to_mlx(row.unsqueeze(-1)) for row in (terms.strike, terms.sign))

    def vanilla(level: Any) -> Any:
        return mx.maximum(sign * (level - strike), 0.0)

    def seen(spots: Any) -> Any:
        every = len(spots) // terms.options["observations"]
        return spots[every - 1 :: every]

    def european(spots: Any) -> Any:
        return vanilla(spots[-1])

    def arithmetic(spots: Any) -> Any:
        return vanilla(seen(spots).mean(0))

    def geometric(spots: Any) -> Any:
        return vanilla(mx.exp(mx.log(seen(spots)).mean(0)))

    def forward(spots: Any) -> Any:
        return spots[-1]

    if terms.style == "european":
        found: list[Payoff] = [european, forward]
    elif terms.options["average"] == "arithmetic":
        found = [arithmetic, forward, geometric]
    else:
        found = [geometric, forward]
    return found if terms.options["control_variates"] else found[:1]
