"""Portfolio optimisation against skfolio with Clarabel on its stocks; certificates, conflicts, batches, devices."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from nautilus_metal.errors import InputError
from nautilus_metal.risk import allocation_shortfall
from nautilus_metal.risk.allocation import Case, Constraints, Group, optimise, optimise_many
from nautilus_metal.risk.allocation_cases import bootstrap_cases, frontier_cases, history_cases

LEVEL, COST = 0.95, 1e-4


@pytest.fixture(scope="module")
def stocks():
    from skfolio.datasets import load_sp500_dataset
    from skfolio.preprocessing import prices_to_returns

    return prices_to_returns(load_sp500_dataset())


def shortfall(losses: np.ndarray) -> float:
    worst = np.sort(losses)[::-1]
    beyond = len(worst) * (1 - LEVEL)
    return float(np.clip(beyond - np.arange(len(worst)), 0, 1) @ worst / beyond)


def rows(stocks, objective):
    """skfolio's optimiser of the same problem, the objective as a function of weights, and our constraints."""
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction, RiskBudgeting

    returns, even = stocks.to_numpy(), np.full(20, 0.05)
    mean, scatter = returns.mean(axis=0), np.cov(returns.T)
    ratio, utility = ObjectiveFunction.MAXIMIZE_RATIO, ObjectiveFunction.MAXIMIZE_UTILITY
    cost = {"transaction_costs": COST, "previous_weights": even}

    def variance(w):
        return w @ scatter @ w

    grouped = Constraints(lower=-0.1, upper=0.2, groups={"first": Group(list(stocks.columns[:10]), upper=0.4)})
    peer_groups = {"groups": [["a"] * 10 + ["b"] * 10], "linear_constraints": ["a <= 0.4"]}
    priced = Constraints(previous=even, costs=COST)
    return {
        "minimum_variance": (MeanRisk(), variance, Constraints()),
        "minimum_variance grouped": (MeanRisk(min_weights=-0.1, max_weights=0.2, **peer_groups), variance, grouped),
        "mean_variance": (
            MeanRisk(objective_function=utility, risk_aversion=4.0, **cost),
            lambda w: 4 * variance(w) - mean @ w + COST * np.abs(w - even).sum(),
            priced,
        ),
        "maximum_sharpe": (
            MeanRisk(objective_function=ratio, max_weights=0.15, **cost),
            lambda w: -(mean @ w - COST * np.abs(w - even).sum()) / variance(w) ** 0.5,
            Constraints(upper=0.15, previous=even, costs=COST),
        ),
        "minimum_cvar": (
            MeanRisk(risk_measure=RiskMeasure.CVAR), lambda w: shortfall(-returns @ w), Constraints()
        ),
        "minimum_cvar grouped": (
            MeanRisk(risk_measure=RiskMeasure.CVAR, min_weights=-0.1, max_weights=0.2, **peer_groups),
            lambda w: shortfall(-returns @ w),
            grouped,
        ),
        "risk_parity": (RiskBudgeting(max_weights=0.06), variance, Constraints(upper=0.06)),
    }[objective]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    ["minimum_variance", "minimum_variance grouped", "mean_variance", "maximum_sharpe", "minimum_cvar",
     "minimum_cvar grouped", "risk_parity"],
)
def test_objectives_are_those_of_skfolio_with_clarabel(stocks, case):
    peer, value, constraints = rows(stocks, case)
    theirs = value(peer.fit(stocks).weights_)
    found = optimise(
        stocks.to_numpy(), case.split()[0], assets=list(stocks.columns), constraints=constraints, level=LEVEL,
        risk_aversion=4.0 if case == "mean_variance" else 1.0, device="cpu",
    )  # fmt: skip
    assert found.status == "optimal"
    assert found.residual <= 1e-8
    assert value(found.weights) <= theirs + 1e-5 * abs(theirs)
    assert value(found.weights) == pytest.approx(theirs, rel=1e-4)
    assert found.gap <= 1e-5 * max(1.0 if case == "maximum_sharpe" else abs(found.value), found.volatility**2)


@pytest.fixture(scope="module")
def sample():
    draw = np.random.default_rng(5)
    return draw.standard_t(5, size=(600, 8)) * np.linspace(0.005, 0.02, 8) + draw.normal(size=(600, 1)) * 0.005 + 4e-4


@pytest.mark.parametrize(
    ("objective", "solver"),
    [
        ("minimum_variance", "admm"), ("mean_variance", "admm"), ("minimum_cvar", "proximal_newton"),
        ("minimum_cvar", "interior_point"),
    ],
)  # fmt: skip
def test_each_device_finds_the_same(sample, engine, objective, solver, monkeypatch):
    monkeypatch.setattr(allocation_shortfall, "_LAUNCHES", 1)
    constraints = Constraints(upper=0.4, previous=0.125, turnover=0.8, costs=1e-4)
    exact = optimise(sample, objective, constraints=constraints, device="cpu", solver="interior_point")
    found = optimise(sample, objective, constraints=constraints, engine=engine, solver=solver, tolerance=1e-4)
    assert found.status == "optimal"
    assert found.solver.startswith(solver)
    on_host = solver == "interior_point" and engine.exact_dtype != torch.float64
    assert found.device == ("cpu" if on_host else str(engine.device))
    assert found.value == pytest.approx(exact.value, rel=1e-4)
    assert found.turnover <= 0.8 + 1e-6
    assert found.weights.max() <= 0.4 + 1e-6


def test_least_cvar_with_turnover_and_costs_is_the_linear_programmes(sample):
    """Weights, bought, sold, value at risk and excess of each scenario, by HiGHS."""
    (scenarios, assets), cost, turnover = sample.shape, 2e-3, 0.3
    slope = np.concatenate([np.zeros(assets), np.full(2 * assets, cost), [1.0], np.full(scenarios, 20 / scenarios)])
    eye, none = np.eye(assets), np.zeros((assets, 1 + scenarios))
    tail = np.hstack([-sample, np.zeros((scenarios, 2 * assets)), -np.ones((scenarios, 1)), -np.eye(scenarios)])
    traded = np.concatenate([np.zeros(assets), np.ones(2 * assets), np.zeros(1 + scenarios)])
    total = np.concatenate([np.ones(assets), np.zeros(2 * assets + 1 + scenarios)])
    moves = np.hstack([eye, -eye, eye, none])
    bounds = [(0, 0.4)] * assets + [(0, None)] * (2 * assets) + [(None, None)] + [(0, None)] * scenarios
    reference = linprog(
        slope, np.vstack([tail, traded]), np.append(np.zeros(scenarios), turnover), np.vstack([moves, total]),
        np.append(np.full(assets, 0.125), 1.0), bounds,
    )  # fmt: skip
    constraints = Constraints(upper=0.4, previous=0.125, turnover=turnover, costs=cost)
    found = optimise(sample, "minimum_cvar", constraints=constraints, device="cpu")
    assert found.value == pytest.approx(reference.fun, rel=1e-7)
    assert found.turnover <= turnover + 1e-8
    assert found.cost == pytest.approx(cost * found.turnover)


def test_a_gap_bounds_what_is_left(sample):
    best = optimise(sample, "minimum_cvar", device="cpu")
    rough = optimise(sample, "minimum_cvar", device="cpu", solver="proximal_newton", tolerance=0.05)
    assert rough.value >= best.value - best.gap
    assert rough.value - rough.gap <= best.value
    assert best.value == pytest.approx(shortfall(-sample @ best.weights), rel=1e-9)


def test_a_batch_is_what_its_problems_are_alone(sample):
    targets = sample.mean(axis=0).mean() + np.linspace(0, 2e-4, 4)
    for objective in ("minimum_variance", "minimum_cvar"):
        cases = frontier_cases(targets, Constraints(upper=0.5))
        together = optimise_many(sample, objective, cases, device="cpu")
        for case, one in zip(cases, together, strict=True):
            alone = optimise(sample, objective, constraints=case.constraints, device="cpu")
            assert one.value == pytest.approx(alone.value, rel=2e-5)
            assert one.expected_return >= case.constraints.target_return - 1e-8
        assert np.all(np.diff([one.value for one in together]) >= -1e-8)


def test_problems_that_are_done_leave_a_batch_of_proximal_steps(sample, engine, monkeypatch):
    from nautilus_metal.risk.allocation_proximal import _Search

    sizes, original = [], _Search.proximal_step

    def step(search, tolerance):
        sizes.append(len(search.x))
        original(search, tolerance)

    monkeypatch.setattr(_Search, "proximal_step", step)
    cases = [Case(Constraints(upper=upper)) for upper in (0.125, 0.2, 0.5, 1.0)]  # the first leaves no choice
    cases += bootstrap_cases(600, 3, seed=1)
    found = optimise_many(sample, "minimum_cvar", cases, engine=engine, solver="proximal_newton", tolerance=1e-4)
    assert sizes[0] == len(cases)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < len(cases)
    for case, one in zip(cases, found, strict=True):
        alone = optimise(
            sample, "minimum_cvar", constraints=case.constraints, probability=case.probability, device="cpu"
        )
        assert one.status == "optimal"
        assert one.value == pytest.approx(alone.value, rel=1e-4)
        assert one.value - one.gap <= alone.value


def test_small_batches_stay_on_the_host_and_what_has_no_room(sample, monkeypatch):
    engine = SimpleNamespace(device=torch.device("cuda:0"), exact_dtype=torch.float64)
    monkeypatch.setattr(allocation_shortfall, "cpu_of", lambda _: "host")
    monkeypatch.setattr(allocation_shortfall, "room", lambda _: 2**30)
    place = allocation_shortfall._exact_place
    assert place(engine, 1, 10_000, 400) is engine
    assert place(engine, 1_000, 250, 20) is engine
    assert place(engine, 1, 250, 20) == "host"
    assert place(engine, 1, 2**20, 400) == "host"
    engine.exact_dtype = torch.float32
    assert place(engine, 1, 10_000, 400) == "host"


def test_a_history_sees_its_windows_alone(sample):
    ends = [200, 400, 600]
    for objective in ("minimum_variance", "minimum_cvar", "maximum_sharpe", "risk_parity", "hrp"):
        found = optimise_many(sample, objective, history_cases(600, 200, ends), device="cpu")
        for end, one in zip(ends, found, strict=True):
            alone = optimise(sample[end - 200 : end], objective, device="cpu")
            assert one.value == pytest.approx(alone.value, rel=2e-5)


def test_a_bootstrap_counts_draws_and_replays(sample):
    cases = bootstrap_cases(600, 3, seed=7)
    found = optimise_many(sample, "minimum_cvar", cases, device="cpu")
    again = optimise_many(sample, "minimum_cvar", bootstrap_cases(600, 3, seed=7), device="cpu")
    for case, one, other in zip(cases, found, again, strict=True):
        alone = optimise(np.repeat(sample, case.probability, axis=0), "minimum_cvar", device="cpu")
        assert one.value == pytest.approx(alone.value, rel=2e-5)
        assert one.seed == 7
        np.testing.assert_array_equal(one.weights, other.weights)


def test_risk_parity_has_the_shares_asked_for(sample):
    shares = np.arange(1.0, 9.0)
    found = optimise(sample, "risk_parity", risk_shares=shares, device="cpu")
    np.testing.assert_allclose(found.risk_contributions, shares / shares.sum(), atol=1e-6)


NAMES = tuple("ABCDEFGH")


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        (Constraints(upper=0.1), ("the budget (1)", "upper bounds of A, B, C, D, E, F and 2 more (together 0.8)")),
        (Constraints(lower=0.2), ("the budget (1)", "the lower bounds")),
        (
            Constraints(groups={"one": Group(["A", "B"], lower=0.5), "two": Group(["A", "B", "C"], upper=0.4)}),
            ("the lower limit of group one (0.5)", "the upper limit of group two (0.4)"),
        ),
        (Constraints(previous={"A": 1.0}, upper=0.5, turnover=0.1), ("the turnover (0.1)", "upper bounds of A")),
        (Constraints(target_return=0.1), ("the target return (0.1)", "the budget (1)")),
    ],
)
def test_constraints_that_conflict_are_named(sample, constraints, words):
    with pytest.raises(InputError) as caught:
        optimise(sample, assets=NAMES, constraints=constraints, device="cpu")
    for text in words:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"objective": "best"}, "`objective` must be one of"),
        ({"solver": "simplex"}, "`solver` must be one of"),
        ({"objective": "minimum_cvar", "solver": "admm"}, "one of auto, interior_point, proximal_newton for"),
        ({"objective": "hrp", "solver": "admm"}, "`solver` must be one of auto for hrp"),
        ({"assets": ("A",)}, "`assets` must be 8 different names"),
        ({"risk_aversion": 0.0}, "`risk_aversion` must be above 0"),
        ({"tolerance": 0.0}, "`tolerance` must be above 0"),
        ({"objective": "minimum_cvar", "level": 0.999}, "`level` must lie between"),
        ({"probability": np.ones(3)}, "`probability` must be 600 numbers"),
        ({"covariance": -np.eye(8)}, "`covariance` must be positive semi-definite"),
        ({"covariance": np.eye(3)}, "`covariance` must be a symmetric"),
        ({"risk_shares": np.zeros(8)}, "`risk_shares` must be above 0"),
        ({"constraints": Constraints(lower=0.6, upper=0.5)}, "`lower` must not be above `upper`, that of 0"),
        ({"constraints": Constraints(upper={"X": 1.0})}, "`upper` must name assets of the returns, was for 'X'"),
        ({"constraints": Constraints(groups={"g": Group([])})}, "`groups`: g must name assets"),
        ({"constraints": Constraints(costs=-1.0)}, "`costs` must be at least 0"),
        ({"objective": "hrp", "constraints": Constraints(costs=0.1)}, "of hrp must have no turnover"),
        ({"objective": "risk_parity", "constraints": Constraints(lower=-1.0)}, "must be long only"),
        ({"objective": "maximum_sharpe", "risk_free_rate": 1.0}, "expected to earn more than `risk_free_rate`"),
    ],
)
def test_bad_input_is_refused(sample, arguments, text):
    with pytest.raises(InputError, match=text):
        optimise(sample, **({"device": "cpu"} | arguments))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_returns_must_be_finite(sample, bad):
    spoiled = sample.copy()
    spoiled[3, 2] = bad
    with pytest.raises(InputError, match="asset number 2"):
        optimise(spoiled, device="cpu")
    with pytest.raises(InputError, match="at least one problem"):
        optimise_many(sample, "hrp", [], device="cpu")
    assert optimise_many(sample, "hrp", [Case()], device="cpu")[0].gap is None


@pytest.mark.slow
def test_a_million_scenarios_in_float32_are_certified():
    """The linear programme has a million rows and 50 million entries."""
    draw = np.random.default_rng(0)
    returns = draw.standard_normal((1_000_000, 50), dtype=np.float32)
    returns *= np.linspace(0.006, 0.02, 50, dtype=np.float32)
    returns += np.float32(0.006) * draw.standard_t(4, (len(returns), 1)).astype(np.float32)
    found = optimise(returns, "minimum_cvar", constraints=Constraints(upper=0.1), device="cpu", tolerance=1e-4)
    assert found.status == "optimal"
    assert found.solver == "proximal_newton"
    assert found.gap <= 1e-4 * found.value
    assert found.value == pytest.approx(shortfall(-returns @ found.weights.astype(np.float32)), rel=1e-4)
    assert found.value < 0.995 * shortfall(-returns @ np.full(50, 0.02, dtype=np.float32))


def test_scenarios_that_do_not_fit_pass_through_the_device_in_pieces(sample, engine, monkeypatch):
    from nautilus_metal.risk import allocation_scenarios

    whole = optimise(sample, "minimum_cvar", engine=engine, solver="proximal_newton")
    monkeypatch.setattr(allocation_scenarios, "room", lambda _: 1)
    scenarios = allocation_scenarios.Scenarios(engine, sample)
    assert scenarios.streamed == (engine.device.type != "cpu")
    pieces = optimise(sample, "minimum_cvar", engine=engine, solver="proximal_newton")
    assert pieces.value == pytest.approx(whole.value, rel=1e-5)


def test_hrp_is_skfolios_with_the_papers_tree(stocks):
    """Single linkage, leaves as they come: skfolio's own defaults are Ward's linkage and an optimal order."""
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.optimization import HierarchicalRiskParity
    from skfolio.seriation import HierarchicalSeriation

    tree = HierarchicalClustering(linkage_method=LinkageMethod.SINGLE)
    seriation = HierarchicalSeriation(hierarchical_clustering_estimator=tree, optimal_ordering=False)
    reference = HierarchicalRiskParity(seriation_estimator=seriation).fit(stocks)
    found = optimise(stocks.to_numpy(), "hrp", assets=list(stocks.columns)).named()
    np.testing.assert_allclose([found[name] for name in stocks.columns], reference.weights_, atol=1e-12)
