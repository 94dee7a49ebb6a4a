"""Prices and risk by fused kernels are those of the eager ones; the shaders run on the CPU by g++."""

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, fused
from nautilus_metal.kernels.brownian import Draws, draws
from nautilus_metal.kernels.metal.calls import Stream
from nautilus_metal.kernels.paths import Parameters, black_scholes_paths
from nautilus_metal.risk import assess
from nautilus_metal.risk.pricing import price_option, price_options
from nautilus_metal.risk.pricing_streams import walk
from tests.metal_shim.fixtures import shaders_on_the_cpu, verdicts
from tests.risk.cases import history
from tests.risk.option_cases import mixed_book

MARKET = {"spot": 100.0, "strike": 100.0, "expiry": 1.0, "rate": 0.05, "volatility": 0.2, "dividend_yield": 0.01}
HESTON = {
    "model": "heston", "mean_reversion": 2.0, "long_run_volatility": 0.2, "volatility_of_variance": 0.3,
    "spot_correlation": -0.5,
}  # fmt: skip
CASES = {
    "european": ({}, "portable_normals"),
    "asian": ({"style": "asian", "average": "arithmetic", "observations": 12}, "portable_paths"),
    "barrier": ({"style": "barrier", "barrier": 120.0, "barrier_type": "up_and_out", "steps": 6}, "portable_paths"),
    "digital": ({"style": "digital", "payout": 1.0, "steps": 3}, "portable_paths"),
    "lookback": ({"style": "lookback", "lookback_type": "fixed"}, "portable_normals"),
    "bermudan": ({"style": "bermudan", "exercise_dates": 4}, "portable_paths"),
    "heston": (HESTON, "portable_normals"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shaders")


@pytest.fixture
def engine():
    with ComputeEngine("cpu") as made:
        yield made


def figures(found) -> np.ndarray:
    return np.array([found.price, *found.greeks.values(), *found.standard_errors.values()], dtype=float)


@pytest.mark.parametrize("sampler", ["pseudo", "antithetic"])
@pytest.mark.parametrize("name", CASES)
def test_prices_do_not_depend_on_where_the_numbers_are_made(engine, monkeypatch, folder, name, sampler):
    options, kernel = CASES[name]

    def price():
        return price_option(
            "put", **MARKET, num_simulations=5_001, sampler=sampler, seed=3, engine=engine, method="monte_carlo",
            **options,
        )  # fmt: skip

    eager = price()
    compiled = shaders_on_the_cpu(monkeypatch, folder)
    first, second = price(), price()
    assert verdicts()[kernel]
    assert compiled[0].calls.count(kernel) >= 2
    np.testing.assert_array_equal(figures(first), figures(second))
    errors = np.array([eager.standard_errors[key] for key in ("price", *eager.greeks)] * 2, dtype=float)
    np.testing.assert_allclose(figures(first), figures(eager), rtol=2e-5, atol=2e-3 * errors.max())
    assert abs(first.price - eager.price) < 1e-4 * eager.standard_errors["price"] + 1e-5


def test_a_batch_shares_the_numbers(engine, monkeypatch, folder):
    def price():
        return price_options("call", "asian", **(MARKET | {"strike": [90.0, 100.0, 110.0]}), num_simulations=3_000,
                             average="geometric", observations=4, method="monte_carlo", engine=engine)  # fmt: skip

    eager = price()
    shaders_on_the_cpu(monkeypatch, folder)
    price()
    np.testing.assert_allclose(price().price, eager.price, rtol=1e-6)
    assert verdicts() == {"portable_normals": True}


def test_sobol_keeps_its_own_numbers(engine, monkeypatch, folder):
    compiled = shaders_on_the_cpu(monkeypatch, folder)
    price_option(**MARKET, num_simulations=1_000, sampler="sobol", engine=engine)
    assert compiled == []


@pytest.mark.gpu
def test_prices_on_the_simulated_device_are_those_without_fused_kernels(simulator, monkeypatch):
    asked = MARKET | {"num_simulations": 2_000, "style": "asian", "average": "arithmetic", "observations": 4}
    with ComputeEngine("mps") as engine:
        monkeypatch.setattr(fused, "_kernels", {})
        asks, forgets = [price_option("call", engine=engine, **asked) for _ in range(2)]
        monkeypatch.setenv(fused.SWITCH, "0")
        without = price_option("call", engine=engine, **asked)
    np.testing.assert_array_equal(figures(asks), figures(without))
    np.testing.assert_array_equal(figures(forgets), figures(without))


def test_wrong_paths_are_dropped_and_the_price_stays(engine, monkeypatch, folder):
    def price():
        return price_option(
            "call", "asian", **MARKET, num_simulations=4_000, engine=engine, average="arithmetic", observations=6
        )

    eager = price()
    wrong = "drift + 1.01f * deviation * z"
    shaders_on_the_cpu(monkeypatch, folder, lambda text: text.replace("drift + deviation * z", wrong))
    with pytest.warns(RuntimeWarning, match="portable_paths is dropped"):
        first = price()
    second = price()
    assert verdicts() == {"portable_paths": False, "portable_normals": True}
    np.testing.assert_array_equal(figures(first), figures(second))
    assert first.price == pytest.approx(eager.price, rel=1e-6)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("scheduled", [False, True])
def test_walked_paths_have_the_derivatives_of_simulated_ones(terminal, scheduled):
    """In float64, where no fused kernel runs: the walk's own derivatives against those of autograd."""
    steps, stream, market = 5, Stream(4, 3, 8, False), (100.0, 0.3, 0.04, 0.7, 0.02)
    flags = {"terminal": terminal, "scheduled": scheduled}
    made = draws(1, steps, 0, stream.number, stream.seed, "pseudo", stream.start)
    numbers = torch.Generator().manual_seed(1)
    weights = torch.randn(1, steps + 1, 1, stream.paths, dtype=torch.float64, generator=numbers)

    def leaves() -> Parameters:
        shapes = (1, 1, stream.paths), (1, 1, stream.paths), (1, stream.paths), (1, stream.paths)
        rows = [torch.full(s, m, dtype=torch.float64) for s, m in zip(shapes, market[:4], strict=True)]
        rows = [row.requires_grad_() for row in rows]
        return Parameters(*rows, torch.full((1, 1, 1), market[4], dtype=torch.float64))

    def gradients(paths, p: Parameters) -> list[torch.Tensor]:
        outputs = (paths.spots * weights).sum(), paths.variances.sum(), paths.mean.sum(), paths.std.sum()
        found = [torch.autograd.grad(out, p[:4], retain_graph=True, materialize_grads=True) for out in outputs]
        return [row for rows in found for row in rows]

    one, two = leaves(), leaves()
    with ComputeEngine("cpu", "float64") as engine:
        ours = walk(one, stream, engine, market=market, steps=steps, **flags)
    drawn = Draws(made.normals.unsqueeze(-2), made.uniforms.unsqueeze(-2))
    theirs = black_scholes_paths(two, drawn, torch.ones(1, 1, dtype=torch.float64), **flags)
    for name, found, exact in zip(ours._fields, ours, theirs, strict=True):
        if isinstance(exact, torch.Tensor):
            torch.testing.assert_close(found, exact.expand(found.shape), rtol=1e-12, atol=1e-12, msg=name)
    for found, exact in zip(gradients(ours, one), gradients(theirs, two), strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("law", [{}, {"vol_of_vol": 0.06, "spot_vol_correlation": -0.8}])
def test_losses_of_a_book_with_options(engine, monkeypatch, folder, law):
    def risk():
        return assess(mixed_book(), history(3), "normal", (0.95, 0.99), scenarios=4_000, engine=engine, **law)

    eager = risk()
    compiled = shaders_on_the_cpu(monkeypatch, folder)
    found = risk()
    assert risk().var == found.var
    assert verdicts() == {"book_losses": True}
    assert compiled[0].calls.count("book_losses") == 2
    for level in (0.95, 0.99):
        assert found.var[level] == pytest.approx(eager.var[level], rel=2e-5)
        assert found.es[level] == pytest.approx(eager.es[level], rel=2e-5)
        np.testing.assert_allclose(
            found.component_es[level], eager.component_es[level], rtol=1e-4, atol=1e-4 * eager.es[level]
        )
    assert found.drift < 1e-4
