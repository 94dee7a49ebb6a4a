"""Prices by compiled loops are those of the eager kernels, with the same numbers, or the loops are not used."""

import sys
import warnings

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, fused
from nautilus_metal.engine.fused_paths import SOURCES, PathProblem, path_sums
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.black_scholes import greeks
from nautilus_metal.kernels.brownian import draws, stream_seed
from nautilus_metal.kernels.fused_paths import path_products, tile_paths
from nautilus_metal.kernels.fused_payoffs import AMERICAN, ASIAN, EUROPEAN, ROWS
from nautilus_metal.kernels.longstaff_schwartz import BINS, DEPTH
from nautilus_metal.risk import pricing_fused, pricing_plans, pricing_policy
from nautilus_metal.risk.pricing import price_option
from nautilus_metal.risk.pricing_policy import trained_policy
from nautilus_metal.risk.pricing_terms import checked_terms

pytest.importorskip("numba")

MARKET = {"spot": 100.0, "strike": 103.0, "expiry": 0.7, "rate": 0.05, "volatility": 0.25, "dividend_yield": 0.02}
STYLES = {
    "european": {},
    "without controls": {"control_variates": False},
    "asian": {"style": "asian", "observations": 6, "steps": 12},
    "gentle": {"style": "asian", "observations": 65},
    "geometric": {"style": "asian", "observations": 5, "average": "geometric"},
    "american": {"style": "american", "exercise_dates": 12},
    "bermudan": {"style": "bermudan", "exercise_dates": 4, "steps": 12},
}
SAMPLERS = pytest.mark.parametrize("sampler", ["pseudo", "antithetic", "sobol", "fast"])

SEED = {"fast": 9}  # others have a path that rounding to float32 puts on the other side of the strike or the boundary


@pytest.fixture
def cpu():
    with ComputeEngine("cpu") as made:
        yield made


@pytest.fixture
def any_size(monkeypatch):
    monkeypatch.setattr(pricing_fused, "LEAST", 1)
    monkeypatch.setattr(pricing_policy, "LEAST", 1)


def price(engine, kind="put", sampler="pseudo", paths=5_003, seed=4, **options):
    return price_option(
        kind, **MARKET | options, num_simulations=paths, sampler=sampler, seed=seed, engine=engine,
        method="monte_carlo",
    )  # fmt: skip


def both(monkeypatch, engine, **asked):
    """By the loops, and by the eager kernels."""
    ours = price(engine, **asked)
    with monkeypatch.context() as patch:
        patch.setenv(fused.SWITCH, "0")
        return ours, price(engine, **asked)


def verdicts():
    return fused._kernels["numba"].verdicts if "numba" in fused._kernels else {}


@SAMPLERS
@pytest.mark.parametrize("kind", ["call", "put"])
@pytest.mark.parametrize("name", STYLES)
def test_figures_and_errors_are_those_of_the_eager_kernels(any_size, cpu, monkeypatch, name, kind, sampler):
    seed = SEED.get(sampler, 4)
    ours, eager = both(monkeypatch, cpu, kind=kind, sampler=sampler, seed=seed, **STYLES[name])
    assert ours.num_simulations == eager.num_simulations
    for key in ("price", *eager.greeks):
        mine, its = ((found.price if key == "price" else found.greeks[key]) for found in (ours, eager))
        error = eager.standard_errors[key]
        assert abs(mine - its) <= 1e-5 * abs(its) + 0.003 * error, key
        if error > 1e-5 * abs(its):  # below, an error is rounding
            assert ours.standard_errors[key] == pytest.approx(error, rel=2e-3), key
    assert all(verdicts().values())


@pytest.mark.parametrize("change", [
    {"volatility": 0.01}, {"volatility": 2.0}, {"expiry": 0.003}, {"expiry": 30.0}, {"spot": 1e-3, "strike": 1.1e-3},
    {"spot": 1e6, "strike": 9e5}, {"rate": -0.03, "dividend_yield": 0.0}, {"strike": 300.0}, {"strike": 20.0},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", ["european", "asian", "american"])
def test_other_markets(any_size, cpu, monkeypatch, name, change):
    """An exercise boundary may be the next one of its grid: what is collected there is nearly the same."""
    ours, eager = both(monkeypatch, cpu, paths=6_000, **STYLES[name] | change)
    share = 0.2 if name == "american" else 0.01
    assert ours.method == eager.method
    for key, its in eager.greeks.items() | {("price", eager.price)}:
        mine = ours.price if key == "price" else ours.greeks[key]
        size = eager.price / MARKET["spot"] + 1e-4 if key == "gamma" else max(abs(its), eager.price)
        assert abs(mine - its) <= 1e-4 * size + share * eager.standard_errors[key], key


def test_the_european_figures_are_the_closed_form_within_their_errors(any_size, cpu):
    for sampler, paths in (("pseudo", 400_000), ("sobol", 100_000), ("fast", 400_000)):
        found = price(cpu, kind="call", sampler=sampler, paths=paths)
        exact = greeks(*(torch.tensor(MARKET[key], dtype=torch.float64) for key in (
            "spot", "strike", "expiry", "rate", "volatility", "dividend_yield")), "call")._asdict()  # fmt: skip
        for key, figure in found.greeks.items():
            assert abs(figure - float(exact[key])) <= 5 * found.standard_errors[key], key


@pytest.mark.parametrize("paths", [5_003, 8_192])
@pytest.mark.parametrize("options", [{"exercise_dates": 12}, {"exercise_dates": 4, "steps": 12}], ids=str)
@pytest.mark.parametrize(("kind", "dividend_yield"), [("put", 0.02), ("call", 0.08)])
@pytest.mark.parametrize("sampler", ["pseudo", "fast"])
def test_boundaries_are_those_of_the_eager_kernel(
    any_size, monkeypatch, sampler, kind, dividend_yield, options, paths
):
    market = {key: value for key, value in MARKET.items() if key != "strike"} | {"dividend_yield": dividend_yield}
    terms = checked_terms(kind, "bermudan", market, 103.0, "black_scholes", options, batch=False)
    ours = trained_policy(terms, paths, 6, sampler)
    monkeypatch.setenv(fused.SWITCH, "0")
    eager = trained_policy(terms, paths, 6, sampler)
    assert verdicts()["policy"]
    assert verdicts()["policy_paths"]
    assert ours.stride == eager.stride
    assert ours.continuation == pytest.approx(eager.continuation, rel=1e-4)
    # Most are equal; where the gain is flat around its largest, rounding picks another of a few steps of the grid.
    step = market["volatility"] * market["expiry"] ** 0.5 * DEPTH / BINS
    torch.testing.assert_close(ours.boundary, eager.boundary, rtol=5 * step, atol=0)
    assert (ours.boundary == eager.boundary).sum() >= len(eager.boundary) // 2


def test_threads_change_no_boundary(any_size, monkeypatch):
    market = {key: value for key, value in MARKET.items() if key != "strike"}
    terms = checked_terms("put", "bermudan", market, 103.0, "black_scholes", {"exercise_dates": 12}, batch=False)
    monkeypatch.setattr("nautilus_metal.engine.fused_policy.PIECE", 1)
    before, found = torch.get_num_threads(), []
    for small, threads in ((1 << 40, 1), (1, 3)):
        monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", small)
        torch.set_num_threads(threads)
        try:
            found.append(trained_policy(terms, 5_003, 6))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(found[0].boundary, found[1].boundary)
    assert found[0].continuation == found[1].continuation


@pytest.fixture(scope="module")
def loop():
    from nautilus_metal.engine.fused_numba import compile_loop

    return compile_loop(path_products)


@SAMPLERS
@pytest.mark.parametrize("count", [1, 3, 4, 1023, 2_049])
@pytest.mark.parametrize("steps", [1, 7])
def test_sums_over_any_number_of_paths(loop, steps, count, sampler):
    """Of the last price and of it times the first normal, in float64 from the host's own draws."""
    problem = PathProblem(ASIAN, steps, 1, (0.01, 0.1, 1.0, 1.0, 0.0, 0.0))
    (sums,) = path_sums(loop, problem, [9], count, sampler)
    paths = 2 * count if sampler == "antithetic" else count
    z = draws(1, steps, 0, paths, 9, sampler).normals[0].numpy()
    prices = np.exp((0.01 + 0.1 * z).sum(0))
    assert sums[0, 0] == count
    expected = prices.sum(), (prices * z[0]).sum()
    scale = (2 if sampler == "antithetic" else 1), np.abs(prices * z[0]).sum()
    rows = [ROWS[ASIAN].index(name) for name in ("S", "Sz")]
    np.testing.assert_allclose(sums[0, rows[0]] * scale[0], expected[0], rtol=2e-6)
    np.testing.assert_allclose(sums[0, rows[1]] * scale[0], expected[1], atol=3e-6 * scale[1])


@SAMPLERS
@pytest.mark.parametrize("style", [EUROPEAN, ASIAN, AMERICAN])
def test_threads_change_nothing(loop, monkeypatch, style, sampler):
    steps = 1 if style == EUROPEAN else 6
    boundary = np.full(steps, 0.8) if style == AMERICAN else None
    problem = PathProblem(style, steps, 1, (0.01, 0.1, 1.0, -1.0, 0.01, 0.0), boundary)
    seeds = [stream_seed(3, k) for k in range(5)]
    monkeypatch.setattr("nautilus_metal.engine.fused_paths.PIECE", 1)
    before, found = torch.get_num_threads(), []
    for small, threads in ((1 << 40, 1), (1, 3)):
        monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", small)
        torch.set_num_threads(threads)
        try:
            found.append(path_sums(loop, problem, seeds, 3 * tile_paths(steps, SOURCES[sampler]) + 5, sampler))
        finally:
            torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_a_loop_that_disagrees_is_dropped_and_the_price_stays(any_size, cpu, monkeypatch):
    compiled = fused.LANGUAGES["numba"].compiler

    def off(function):
        right = compiled(function)

        def wrong(*given):
            right(*given)
            given[-1][1:, 0] *= 1.001

        return wrong

    monkeypatch.setattr(fused, "_kernels", {})
    monkeypatch.setitem(fused.LANGUAGES, "numba", fused.Language("cpu", off))
    with pytest.warns(RuntimeWarning, match="fused kernel european_paths is dropped.*it differs"):
        first = price(cpu)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = price(cpu)
    monkeypatch.setenv(fused.SWITCH, "0")
    assert first.price == second.price == price(cpu).price
    assert verdicts() == {"european_paths": False}


def test_the_loop_does_without_the_eager_way(any_size, cpu, monkeypatch):
    expected = price(cpu)
    monkeypatch.setattr(pricing_plans, "_factor", None)
    monkeypatch.setitem(pricing_plans.PAYOFFS, "european", None)
    assert price(cpu).price == expected.price
    monkeypatch.setenv(fused.SWITCH, "0")
    with pytest.raises(TypeError):
        price(cpu)


def test_without_numba_the_eager_kernels_price(any_size, cpu, monkeypatch):
    computed = [price(cpu, **options) for options in STYLES.values()]
    monkeypatch.setattr(fused, "_kernels", {})
    monkeypatch.setitem(sys.modules, "numba", None)
    for before, options in zip(computed, STYLES.values(), strict=True):
        assert price(cpu, **options).price == pytest.approx(before.price, rel=1e-5)
    assert verdicts() == {}
    assert not fused._kernels["numba"].available


@pytest.mark.parametrize("options", [
    {"style": "digital"}, {"steps": 3}, {"style": "barrier", "barrier": 130.0, "barrier_type": "up_and_out"},
    {"model": "merton", "jump_intensity": 0.5, "jump_mean": 0.0, "jump_std": 0.1},
], ids=str)  # fmt: skip
def test_what_the_loop_is_not_for(any_size, cpu, monkeypatch, options):
    monkeypatch.setattr(fused, "_kernels", {})
    price(cpu, **options)
    assert verdicts() == {}


@pytest.mark.parametrize("case", ["small", "float64"])
def test_where_the_loop_is_not_used(cpu, monkeypatch, case):
    monkeypatch.setattr(fused, "_kernels", {})
    if case == "small":
        price(cpu)
    else:
        monkeypatch.setattr(pricing_fused, "LEAST", 1)
        with ComputeEngine("cpu", "float64") as exact:
            price(exact)
    assert verdicts() == {}


@pytest.mark.parametrize("name", ["european", "asian"])
def test_prices_beyond_float32_are_refused_as_by_the_eager_kernels(any_size, cpu, name):
    with pytest.raises(InputError, match="`volatility` must leave prices finite"):
        price(cpu, kind="call", rate=200.0, **STYLES[name])
