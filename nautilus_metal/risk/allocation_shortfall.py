"""Least expected shortfall over scenarios, without the linear programme: many problems, by the size of each."""

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.cancel import checkpoint
from nautilus_metal.engine.governor import cpu_of, room
from nautilus_metal.kernels.portfolio import Programme, linear_bound
from nautilus_metal.kernels.portfolio_interior import interior_point
from nautilus_metal.kernels.portfolio_tail import TailTerm, shortfall
from nautilus_metal.risk.allocation_proximal import proximal_newton
from nautilus_metal.risk.allocation_quadratic import Optimised
from nautilus_metal.risk.allocation_scenarios import Scenarios
from nautilus_metal.risk.book import Array

_DIRECT = 2**16  # scenarios of a problem up to which the interior point is the faster of the two, on the host
_DIRECT_ON_DEVICE = 2**20  # and on a device
_LAUNCHES = 2**18  # returns of a batch from which on a device is worth them
_TOGETHER = 2**20  # scenarios of a batch at once by the interior point
_LOSSES = 2**27  # losses of a batch at once by proximal steps
_EXACT = 1e-9


def least_shortfall(
    programme: Programme,
    returns: Array,
    level: float,
    probability: Tensor | None,
    aversion: Tensor,
    solver: str,
    tolerance: float,
    engine: ComputeEngine,
) -> Optimised:
    r"""Minimise a linear function plus :math:`\gamma` times the expected shortfall over a batch of feasible sets.

    By an interior point, whose steps sum over all scenarios, or by `proximal_newton`, whose steps sum over tails. The
    interior point needs float64: it works on the host where the device has none, and where the batch is small.

    Parameters
    ----------
    programme : Programme
        The sets, and the linear function; its quadratic term is not used.
    returns : ndarray, shape (scenarios, assets)
        Of the first variables.
    level : float
        Confidence level.
    probability : Tensor, optional
        Of each scenario in each problem, shape (B, scenarios), float64 on the host; even where not given.
    aversion : Tensor
        Gamma, shape (B,).
    solver : {"auto", "interior_point", "proximal_newton"}
        "auto" decides by how many scenarios a problem has.
    tolerance : float
        Of the gap, as a share of the shortfall, for `proximal_newton`.
    engine : ComputeEngine
        Where to work.
    """
    count, assets = returns.shape
    seen = count if probability is None else int((probability > 0).sum(-1).max())
    exact = _exact_place(engine, len(aversion), seen, assets)
    most = _DIRECT if exact.device.type == "cpu" else _DIRECT_ON_DEVICE
    direct = seen <= most if solver == "auto" else solver == "interior_point"
    scenarios = None if direct else Scenarios(engine, returns)
    table = _table(exact, returns) if direct else None
    found = []
    together = min(_TOGETHER // seen, room(exact) // _bytes(seen, assets)) if direct else _LOSSES // count
    share = max(1, together)
    for index in torch.arange(len(aversion)).split(share):
        part, own = programme.take(index), aversion[index]
        given = None if probability is None else probability[index]
        with threads_for(0 if direct else len(index) * seen * assets):  # numpy has threads of its own for its product
            if table is not None:
                found.append(_direct(part, *table, level, given, own))
            elif scenarios is not None:
                found.append(proximal_newton(part, scenarios, level, given, own, tolerance))
    x, value, gap = (torch.cat([getattr(one, name) for one in found]) for name in ("x", "value", "gap"))
    return Optimised(x, value, gap, max(one.iterations for one in found), found[0].solver, found[0].device)


def _exact_place(engine: ComputeEngine, problems: int, seen: int, assets: int) -> ComputeEngine:
    """Where the interior point works: on the device if it has float64, room for one problem, and enough to do."""
    fits = _bytes(seen, assets) <= room(engine)
    worth = problems * seen * assets >= _LAUNCHES
    return engine if engine.exact_dtype == torch.float64 and worth and fits else cpu_of(engine)


def _bytes(seen: int, assets: int) -> int:
    """Memory of one problem: its scenarios, a scaled copy of them, and as much again for what else there is."""
    return 3 * torch.float64.itemsize * seen * (assets + 1)


def _table(engine: ComputeEngine, returns: Array) -> tuple[Tensor, float]:
    """Returns in a unit of their own order, with a column of ones, and the unit."""
    exact = engine.upload(returns, torch.float64)
    unit = float(exact.square().mean().sqrt()) or 1.0
    return torch.cat([exact / unit, torch.ones_like(exact[:, :1])], dim=1), unit


def _direct(
    programme: Programme, table: Tensor, unit: float, level: float, probability: Tensor | None, aversion: Tensor
) -> Optimised:
    """Solve a batch by the interior point where the table is, and take the bound that its multipliers give."""
    assets, device = table.shape[1] - 1, table.device
    programme, aversion = Programme(*(field.to(device) for field in programme)), aversion.to(device)
    probability = None if probability is None else probability.to(device)
    tail = _tail(table, level, probability, len(aversion))
    size = aversion * unit
    linear = programme.linear / size[:, None]
    found = interior_point(_with_threshold(programme._replace(linear=linear), assets), _EXACT, tail, checkpoint)
    x = torch.cat([found.x[:, :assets], found.x[:, assets + 1 :]], dim=1)
    x = torch.minimum(torch.maximum(x, programme.lower), programme.upper)
    losses = -unit * tail.across(torch.nn.functional.pad(x[:, :assets], (0, 1)))
    even = probability is None
    risk = shortfall(losses, level, None if even else tail.mass * (1 - level)).to(device)
    value = aversion * risk + (programme.linear * x).sum(-1)
    assert found.tail_dual is not None
    weight = torch.minimum(found.tail_dual, tail.mass) * (tail.mass > 0)
    slope = programme.linear.clone()
    slope[:, :assets] -= size[:, None] * tail.pull(weight / weight.sum(-1, keepdim=True))[:, :assets]
    duals = size[:, None] * found.equal_dual, size[:, None] * found.row_dual
    bound = linear_bound(slope, programme, *duals)
    gap = (value - bound).clamp(min=0)
    return Optimised(x.cpu(), value.cpu(), gap.cpu(), found.iterations, "interior_point", str(device))


def _tail(table: Tensor, level: float, probability: Tensor | None, problems: int) -> TailTerm:
    """The scenarios that each problem sees: all of them, or a copy of its own."""
    if probability is None:
        mass = table.new_full((problems, len(table)), 1 / len(table) / (1 - level))
        return TailTerm(table[None], mass)
    seen = int((probability > 0).sum(-1).max())
    mass = probability / (1 - level)
    if seen == len(table):
        return TailTerm(table[None], mass)
    index = (probability > 0).to(torch.int8).sort(dim=-1, descending=True, stable=True).indices[:, :seen]
    return TailTerm(table[index], mass.gather(-1, index))


def _with_threshold(programme: Programme, assets: int) -> Programme:
    """Make room for the value at risk behind the weights: a variable without bounds, with a slope of one."""

    def wider(field: Tensor, entry: float) -> Tensor:
        column = torch.full_like(field[..., :1], entry)
        return torch.cat([field[..., :assets], column, field[..., assets:]], dim=-1)

    linear = wider(programme.linear, 1.0)
    return programme._replace(
        quadratic=linear.new_zeros(*linear.shape, linear.shape[1]),
        linear=linear,
        lower=wider(programme.lower, -torch.inf),
        upper=wider(programme.upper, torch.inf),
        equal=wider(programme.equal, 0.0),
        rows=wider(programme.rows, 0.0),
    )
