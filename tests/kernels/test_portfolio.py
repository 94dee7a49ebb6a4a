"""Batches of quadratic programmes against Clarabel, the tail's smoothing against a linear programme and loops."""

import clarabel
import numpy as np
import pytest
import scipy.cluster.hierarchy
import scipy.optimize
import scipy.spatial.distance
import torch
from scipy import sparse

from nautilus_metal.kernels import portfolio_tail
from nautilus_metal.kernels.portfolio import Programme, admm, linear_bound, times
from nautilus_metal.kernels.portfolio_hierarchy import (
    correlation_distance,
    hierarchical_risk_parity,
    single_linkage_order,
)
from nautilus_metal.kernels.portfolio_interior import interior_point
from nautilus_metal.kernels.portfolio_tail import TailTerm, shortfall, smoothed_shortfall

COUNT, SIZE = 8, 12


@pytest.fixture(scope="module")
def programme() -> Programme:
    """Random programmes with bounds, a budget and two rows; the last problem fixes one variable."""
    draw = np.random.default_rng(3)
    factors = draw.normal(size=(COUNT, SIZE, 4))
    quadratic = factors @ factors.transpose(0, 2, 1) * 1e-4
    linear = draw.normal(size=(COUNT, SIZE)) * 1e-4
    lower, upper = np.full((COUNT, SIZE), -0.1), np.full((COUNT, SIZE), 0.4)
    lower[-1, 0] = upper[-1, 0] = 0.05
    rows = draw.normal(size=(COUNT, 2, SIZE))
    most = rows.mean(axis=2) + 0.05
    arrays = (quadratic, linear, lower, upper, np.ones((COUNT, 1, SIZE)), np.ones((COUNT, 1)), rows, most)
    return Programme(*map(torch.from_numpy, arrays))


def peer(programme: Programme, i: int) -> float:
    """Clarabel's optimum of one problem."""
    p, q, low, high, equal, level, rows, most = (field[i].numpy() for field in programme)
    eye = np.eye(len(q))
    matrix = sparse.csc_matrix(np.vstack([equal, eye, -eye, rows]))
    right = np.concatenate([level, high, -low, most])
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(len(right) - 1)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    scale = 1e4
    solver = clarabel.DefaultSolver(sparse.csc_matrix(np.triu(p * scale)), q * scale, matrix, right, cones, settings)
    return solver.solve().obj_val / scale


def value(programme: Programme, x: torch.Tensor) -> torch.Tensor:
    return (x * (times(programme.quadratic, x) / 2 + programme.linear)).sum(-1)


def check(programme: Programme, found, tolerance: float) -> None:
    """Feasible, as good as Clarabel, and with a bound that proves it without overtaking it."""
    x = found.x.cpu().double()
    rounding = 1e-8 if found.x.dtype == torch.float32 else 1e-12  # of the bounds themselves
    assert float((x - programme.upper).max()) <= rounding
    assert float((programme.lower - x).max()) <= rounding
    assert float((x.sum(-1) - 1).abs().max()) <= tolerance
    assert float((times(programme.rows, x) - programme.most).max()) <= tolerance
    slope = times(programme.quadratic, x) + programme.linear
    duals = found.equal_dual.cpu().double(), found.row_dual.cpu().double()
    bound = value(programme, x) + linear_bound(slope, programme, *duals) - (slope * x).sum(-1)
    for i in range(COUNT):
        best = peer(programme, i)
        assert float(value(programme, x)[i]) == pytest.approx(best, rel=tolerance, abs=1e-4 * tolerance)
        assert float(bound[i]) <= best + 1e-8 * abs(best)
        assert float(bound[i]) == pytest.approx(best, rel=20 * tolerance, abs=1e-3 * tolerance)


def test_the_interior_point_finds_clarabels_optima(programme):
    check(programme, interior_point(programme), 1e-7)


def test_the_interior_point_takes_straight_and_bent_objectives_in_one_batch(programme):
    straight = torch.arange(COUNT) % 2 == 0
    mixed = programme._replace(quadratic=programme.quadratic * ~straight[:, None, None])
    check(mixed, interior_point(mixed), 1e-7)


def test_admm_finds_clarabels_optima_on_each_device(programme, engine):
    moved = Programme(*(engine.upload(field, engine.exact_dtype) for field in programme))
    double = engine.exact_dtype == torch.float64
    found = admm(moved, 1e-10 if double else 1e-6)
    assert found.x.device.type == engine.device.type
    check(programme, found, 1e-6 if double else 1e-4)


@pytest.mark.parametrize("solve", [interior_point, lambda batch: admm(batch, 1e-10)], ids=["interior", "admm"])
def test_a_problem_alone_is_solved_as_in_a_batch(programme, solve):
    whole = solve(programme)
    for i in range(0, COUNT, 3):
        alone = solve(programme.take(torch.tensor([i])))
        torch.testing.assert_close(alone.x[0], whole.x[i], rtol=0, atol=2e-5)
        assert float(value(programme, whole.x)[i]) == pytest.approx(
            float(value(programme.take(torch.tensor([i])), alone.x)[0]), rel=1e-7
        )


def test_any_multipliers_give_a_lower_bound(programme):
    best = value(programme, interior_point(programme._replace(quadratic=0 * programme.quadratic)).x)
    linear = (interior_point(programme._replace(quadratic=0 * programme.quadratic)).x * programme.linear).sum(-1)
    draw = torch.Generator().manual_seed(0)
    for _ in range(50):
        equal = 1e-4 * torch.randn(COUNT, 1, generator=draw, dtype=torch.float64)
        row = 1e-4 * torch.randn(COUNT, 2, generator=draw, dtype=torch.float64).abs()
        assert bool((linear_bound(programme.linear, programme, equal, row) <= linear + 1e-10).all())
    assert best.isfinite().all()


def test_an_empty_set_leaves_a_large_residual(programme):
    empty = programme._replace(level=programme.level + 10)
    assert float(interior_point(empty).residual.min()) > 1e-3
    assert float(interior_point(programme).residual.max()) < 1e-8


def test_shortfall_is_the_mean_of_the_tail_with_weights_and_without(engine):
    draw = np.random.default_rng(0)
    losses, weight = draw.normal(size=(3, 400)), draw.integers(0, 4, size=(3, 400)).astype(np.float64)
    moved = engine.upload(losses, engine.exact_dtype)
    even = shortfall(moved, 0.9)
    given = shortfall(moved, 0.9, engine.upload(weight / weight.sum(axis=1, keepdims=True), engine.exact_dtype))
    for i in range(3):
        assert float(even[i]) == pytest.approx(np.sort(losses[i])[-40:].mean(), rel=1e-6)
        repeated = np.sort(np.repeat(losses[i], weight[i].astype(int)))[::-1]
        beyond = 0.1 * len(repeated)
        parts = np.clip(beyond - np.arange(len(repeated)), 0, 1)
        assert float(given[i]) == pytest.approx((parts * repeated).sum() / beyond, rel=1e-5)


def test_the_smoothing_approaches_the_shortfall_and_its_weights_are_those_of_a_tail(engine):
    draw = np.random.default_rng(1)
    losses = engine.upload(draw.standard_t(4, size=(2, 1000)), engine.exact_dtype)
    even = torch.full_like(losses, 1e-3)
    exact = shortfall(losses, 0.95)
    last = None
    for width in (1e-1, 1e-2, 1e-3):
        mu = torch.full_like(losses[:, 0], width)
        tail = smoothed_shortfall(losses, even, 0.95, torch.ones_like(losses), mu)
        off = exact - tail.value.cpu().double()
        assert float(off.min()) >= -1e-5
        assert float((tail.density.sum(-1) / 1000 - 1).abs().max()) < 1e-4
        assert float(tail.density.min()) >= 0
        assert float(tail.density.max()) <= 20 * (1 + 1e-6)
        assert last is None or bool((off < last).all())
        last = off
    assert float(last.max()) < 2e-2


@pytest.mark.parametrize("own", [False, True], ids=["shared scenarios", "own scenarios"])
def test_a_tail_in_the_interior_point_is_the_linear_programme(own, engine, monkeypatch):
    if engine.exact_dtype != torch.float64:
        pytest.skip("the interior point needs float64")
    monkeypatch.setattr(portfolio_tail, "_IN_CACHE", 100)  # sums over scenarios in parts
    monkeypatch.setattr(portfolio_tail, "_AT_ONCE", 300)
    draw = np.random.default_rng(8)
    count, scenarios, assets, level = 3, 80, 5, 0.9
    returns = draw.standard_t(4, size=(count if own else 1, scenarios, assets)) + 0.1
    mass = draw.dirichlet(np.ones(scenarios), size=count) / (1 - level)
    mass[:, :7] = 0.0  # scenarios that are not there
    mass /= mass.sum(axis=1, keepdims=True) * (1 - level)
    costs = draw.normal(size=(count, assets)) * 0.1
    rows = np.concatenate([returns, np.ones((*returns.shape[:2], 1))], axis=2)
    wide, ends = np.ones((count, assets)), np.full((count, 1), np.inf)
    arrays = (
        np.zeros((count, assets + 1, assets + 1)), np.hstack([costs, wide[:, :1]]), np.hstack([0 * wide, -ends]),
        np.hstack([0.5 * wide, ends]), np.hstack([wide, 0 * wide[:, :1]])[:, None], wide[:, :1],
        np.zeros((count, 0, assets + 1)), np.zeros((count, 0)),
    )  # fmt: skip
    term = TailTerm(torch.from_numpy(rows), torch.from_numpy(mass))
    moved = Programme(*(engine.upload(array, torch.float64) for array in arrays))
    found = interior_point(moved, 1e-10, TailTerm(*(engine.upload(field, torch.float64) for field in term)))
    assert found.x.device.type == engine.device.type
    found = found._replace(x=found.x.cpu(), tail_dual=found.tail_dual.cpu())
    for i in range(count):
        own_rows = rows[i if own else 0]
        reference = scipy.optimize.linprog(
            np.concatenate([costs[i], [1.0], mass[i]]), A_ub=-np.hstack([own_rows, np.eye(scenarios)]),
            b_ub=np.zeros(scenarios), A_eq=[[1.0] * assets + [0.0] * (1 + scenarios)], b_eq=[1.0],
            bounds=[(0, 0.5)] * assets + [(None, None)] + [(0, None)] * scenarios,
        )  # fmt: skip
        losses = -torch.from_numpy(returns[i if own else 0]) @ found.x[i, :assets]
        value = float(shortfall(losses[None], level, torch.from_numpy(mass[i : i + 1] * (1 - level)))[0])
        value += float(costs[i] @ found.x[i, :assets].numpy())
        assert value == pytest.approx(reference.fun, rel=1e-8)
        np.testing.assert_allclose((found.tail_dual[i, 7:]).sum(), 1.0, atol=1e-8)
        assert bool((found.tail_dual[i, 7:] <= term.mass[i, 7:] + 1e-9).all())


def test_what_is_called_between_steps_may_end_them(programme):
    calls = []

    def enough():
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        interior_point(programme, between=enough)


def test_the_slope_of_the_smoothing_is_its_weights():
    draw = np.random.default_rng(2)
    losses = torch.from_numpy(draw.normal(size=(1, 60))).requires_grad_()
    weight = torch.from_numpy(draw.dirichlet(np.ones(60)))[None]
    centre, width = torch.ones_like(weight), torch.tensor([0.05], dtype=torch.float64)
    tail = smoothed_shortfall(losses.detach(), weight, 0.8, centre, width)
    step = 1e-6
    for s in range(0, 60, 7):
        ends = []
        for sign in (1, -1):
            moved = losses.detach().clone()
            moved[0, s] += sign * step
            ends.append(float(smoothed_shortfall(moved, weight, 0.8, centre, width).value))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(float(weight[0, s] * tail.density[0, s]), abs=1e-8)


def covariance_of(seed: int, assets: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.cov(draw.normal(size=(assets, 200)) * draw.uniform(0.5, 2, size=(assets, 1)) + draw.normal(size=200))


@pytest.mark.parametrize(("seed", "assets"), [(0, 2), (1, 5), (2, 20), (3, 33)])
def test_hrp_is_the_papers_on_scipys_tree(seed, assets):
    covariance = covariance_of(seed, assets)
    distance = correlation_distance(torch.from_numpy(covariance))
    tree = scipy.cluster.hierarchy.linkage(
        scipy.spatial.distance.squareform(distance.numpy(), checks=False), "single"
    )
    order = scipy.cluster.hierarchy.leaves_list(tree).tolist()
    assert single_linkage_order(distance) == order

    def variance(items: list[int]) -> float:
        inverse = 1 / np.diag(covariance)[items]
        return inverse @ covariance[np.ix_(items, items)] @ inverse / inverse.sum() ** 2

    def split(items: list[int], whole: float) -> dict[int, float]:
        if len(items) == 1:
            return {items[0]: whole}
        left, right = items[: len(items) // 2], items[len(items) // 2 :]
        share = 1 - variance(left) / (variance(left) + variance(right))
        return split(left, whole * share) | split(right, whole * (1 - share))

    weights = split(order, 1.0)
    free = torch.zeros(assets, dtype=torch.float64), torch.ones(assets, dtype=torch.float64)
    ours = hierarchical_risk_parity(torch.from_numpy(covariance), *free)
    np.testing.assert_allclose(ours.numpy(), [weights[i] for i in range(assets)], rtol=1e-12)


def test_hrp_keeps_bounds():
    covariance = torch.from_numpy(covariance_of(4, 10))
    lower, upper = torch.full((10,), 0.06, dtype=torch.float64), torch.full((10,), 0.13, dtype=torch.float64)
    weights = hierarchical_risk_parity(covariance, lower, upper)
    assert float(weights.sum()) == pytest.approx(1)
    assert bool(((weights >= lower - 1e-12) & (weights <= upper + 1e-12)).all())
