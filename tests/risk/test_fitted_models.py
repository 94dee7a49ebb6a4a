"""GARCH, jumps and copulas as scenario models: closed forms, margins, dependence, and the rows of the table."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy import stats

from nautilus_metal.actors import RiskActorConfig
from nautilus_metal.actors.risk_config import check
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.covariance import correlation, nearest_correlation
from nautilus_metal.kernels.garch import GarchParameters, garch_variance
from nautilus_metal.kernels.jump_fit import JumpDiffusion
from nautilus_metal.risk import Book, assess
from nautilus_metal.risk.draws import sample_scenarios
from nautilus_metal.risk.garch import GarchFits, garch_fits, garch_scenarios
from nautilus_metal.risk.jumps import jump_returns, poisson_quantile
from nautilus_metal.risk.models import MODELS, build, scenario_count
from nautilus_metal.risk.request import Request, Scenarios

pytestmark = pytest.mark.usefixtures("one_thread")
FITTED = [
    *((model, {"innovations": shocks}) for model in ("garch", "gjr") for shocks in ("normal", "t", "empirical")),
    ("jump_diffusion", {}),
    ("gaussian_copula", {}),
    ("t_copula", {}),
]
REQUEST = Request(1, 20_000, 3, "sobol")


def history(assets: int = 4, periods: int = 400, seed: int = 0) -> np.ndarray:
    """Log returns with fat tails and a common factor, shape (periods, assets)."""
    rng = np.random.default_rng(seed)
    common = rng.standard_t(4, size=(periods, 1))
    return 0.007 * (common + rng.standard_t(5, size=(periods, assets)))


def book(assets: int = 4) -> Book:
    return Book.linear(quantities=[100.0, -40.0, 25.0, 60.0][:assets], prices=[50.0, 80.0, 120.0, 30.0][:assets])


def window(seed: int = 0, periods: int = 400) -> torch.Tensor:
    return torch.from_numpy(history(periods=periods, seed=seed).T.copy())


def values(fitted: Scenarios, request: Request = REQUEST) -> np.ndarray:
    """Log returns of all scenarios, shape (assets, scenarios)."""
    drawn = sample_scenarios(fitted, request, fitted.count)
    moves = drawn.loading @ drawn.factors if drawn.loading.dim() == 2 else drawn.loading[:, None] * drawn.factors
    moves = moves if drawn.scale is None else moves * drawn.scale
    return (moves + drawn.shift[:, None]).numpy()


@pytest.mark.parametrize(("model", "options"), FITTED)
def test_every_model_serves_a_whole_assessment(engine: ComputeEngine, model: str, options: dict) -> None:
    returns = history(periods=250)
    risk = assess(book(), returns, model, (0.95, 0.99), scenarios=4_000, engine=engine, **options)
    exact = assess(
        book(), returns, model, (0.95, 0.99), scenarios=4_000, engine=ComputeEngine("cpu", "float64"), **options
    )
    for level in risk.levels:
        assert risk.var[level] == pytest.approx(exact.var[level], rel=2e-5)
        assert risk.es[level] == pytest.approx(exact.es[level], rel=2e-5)
        assert risk.es[level] > risk.var[level] > 0
        assert 0 < risk.var_se[level] < 0.2 * risk.var[level]
        assert float(risk.component_var[level].sum()) == pytest.approx(risk.var[level], rel=1e-4)
        assert risk.incremental_var[level].shape == (4,)
    assert risk.drift < 1e-4
    again = assess(book(), returns, model, (0.95, 0.99), scenarios=4_000, engine=engine, **options)
    assert (again.var, again.es) == (risk.var, risk.es)  # a function of the window


@pytest.mark.parametrize(("model", "options"), FITTED)
@pytest.mark.parametrize("sampler", ["sobol", "pseudo"])
def test_longer_horizons_scale_and_counts_are_known_beforehand(model: str, options: dict, sampler: str) -> None:
    figures = []
    for horizon in (1, 4):
        request = Request(horizon, 6_000, 1, sampler)
        fitted = build(model, window(periods=250), request, options)
        assert fitted.count == scenario_count(model, 250, request, options)
        figures.append(values(fitted, request).std(axis=1))
    assert figures[1] / figures[0] == pytest.approx(2.0, abs=0.55)  # today's volatility on its way to the long run's


def test_garch_with_normal_shocks_has_its_closed_form() -> None:
    returns = window()
    fits = garch_fits(returns[None], False, "normal")[0]
    variance = garch_variance(returns, fits.parameters, fits.start)
    rho = correlation(returns / variance[:, :-1].sqrt())
    exposed = torch.from_numpy(book().exposures) * variance[:, -1].sqrt()
    expected = NormalDist().inv_cdf(0.99) * math.sqrt(float(exposed @ rho @ exposed))
    risk = assess(
        book(), history(), "garch", (0.99,), scenarios=50_000, revaluation="linear", innovations="normal",
        engine=ComputeEngine("cpu", "float64"),
    )  # fmt: skip
    assert risk.var[0.99] == pytest.approx(expected, abs=3 * risk.var_se[0.99])


def test_garch_with_past_shocks_is_filtered_history_at_its_own_volatility() -> None:
    returns = window()
    fits = garch_fits(returns[None], True, "empirical", "constant")[0]
    variance = garch_variance(returns, fits.parameters, fits.start)
    mean = fits.parameters.mu[:, None]
    expected = mean + (returns - mean) / variance[:, :-1].sqrt() * variance[:, -1:].sqrt()
    made = build("gjr", returns, Request(1, 100, 0, "sobol"), {"innovations": "empirical", "mean": "constant"})
    assert made.count == 400
    assert values(made, Request(1, 100, 0, "sobol")) == pytest.approx(expected.numpy(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("shocks", ["normal", "t"])
def test_paths_have_the_recursions_expected_variance(shocks: str) -> None:
    one = torch.tensor([4e-6], dtype=torch.float64)
    parameters = GarchParameters(0 * one, one, 0 * one + 0.08, 0 * one, 0 * one + 0.9, one / 0)
    fits = GarchFits(parameters, 50 * one, 8.0 if shocks == "t" else None, {})
    returns, request = window()[:1], Request(5, 60_000, 2, "pseudo")
    h, expected = float(garch_variance(returns, parameters, fits.start)[0, -1]), 0.0
    for _ in range(5):
        expected += h
        h = 4e-6 + 0.98 * h
    drawn = values(garch_scenarios(returns, request, fits, shocks), request)[0] ** 2
    assert drawn.mean() == pytest.approx(expected, abs=4 * drawn.std() / math.sqrt(len(drawn)))


def test_stale_prices_take_the_normal_laws_coefficients_and_a_floor() -> None:
    returns = window(periods=600)
    returns[1, torch.arange(600) % 4 > 0] = 0.0  # three of four days without a price
    returns[2] = 0.0
    fits = garch_fits(returns[None], False, "t")[0]
    assert fits.details["normal_instead"] == 1
    made = values(build("garch", returns, REQUEST, {"innovations": "t"}))
    assert made[1].std() > 0.09 * float(returns[1].std())
    assert not made[2].any()


@pytest.mark.parametrize("model", ["gaussian_copula", "t_copula"])
@pytest.mark.parametrize("sampler", ["sobol", "pseudo"])
def test_margins_of_a_copula_are_the_windows(model: str, sampler: str) -> None:
    returns, request = window(), Request(1, 40_000, 5, sampler)
    drawn = values(build(model, returns, request, {}), request)
    for ours, past in zip(drawn, returns.numpy(), strict=True):
        for chance in (0.01, 0.05, 0.3, 0.5, 0.95, 0.99):
            quantile = np.quantile(past, chance, method="hazen")
            share = (ours <= quantile).mean()
            assert share == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / len(ours)))
        assert past.min() <= ours.min() <= ours.max() <= past.max()


def test_copulas_keep_the_dependence() -> None:
    returns = window(seed=4, periods=1500)
    for model in ("gaussian_copula", "t_copula"):
        drawn = values(build(model, returns, REQUEST, {}))
        for i, j in ((0, 1), (1, 3)):
            past = stats.spearmanr(returns[i], returns[j]).statistic
            assert stats.spearmanr(drawn[i], drawn[j]).statistic == pytest.approx(past, abs=4 / math.sqrt(1500))


def test_a_t_copula_joins_tails_and_becomes_gaussian_with_many_degrees() -> None:
    returns = window(seed=4, periods=1500)
    together = {}
    for name, model, options in (
        ("gaussian", "gaussian_copula", {}),
        ("few", "t_copula", {"degrees": 2.5}),
        ("many", "t_copula", {"degrees": 1e4}),
    ):
        drawn = values(build(model, returns, REQUEST, options))
        low = drawn <= np.quantile(drawn, 0.02, axis=1, keepdims=True)
        together[name] = (low[0] & low[1]).mean() / 0.02
    error = 4 * math.sqrt(0.3 * 0.7 / (0.02 * REQUEST.scenarios))
    assert together["few"] > together["gaussian"] + error
    assert together["many"] == pytest.approx(together["gaussian"], abs=error)


@pytest.mark.parametrize("horizon", [1, 5])
def test_jump_scenarios_have_the_laws_moments(horizon: int) -> None:
    matrix = torch.tensor([[1e-4, 4e-5], [4e-5, 2e-4]], dtype=torch.float64)
    mean, jump = torch.tensor([[1e-3, -5e-4], [-0.01, 0.004]], dtype=torch.float64)
    fit = JumpDiffusion(mean, matrix, 0.15, jump, 4 * matrix, 0.0, True)
    request = Request(horizon, 2**17, 7, "pseudo")
    drawn = jump_returns(fit, request).numpy()
    rate, count = 0.15 * horizon, request.scenarios
    expected = (mean * horizon + rate * jump).numpy()
    covariance = (matrix * horizon + rate * (4 * matrix + torch.outer(jump, jump))).numpy()
    assert drawn.mean(axis=1) == pytest.approx(expected, abs=4 * math.sqrt(covariance.max() / count))
    squares = (drawn - expected[:, None])[:, None] * (drawn - expected[:, None])
    for i, j in ((0, 0), (0, 1), (1, 1)):
        assert squares[i, j].mean() == pytest.approx(covariance[i, j], abs=4 * squares[i, j].std() / math.sqrt(count))
    third = (drawn[0] - expected[0]) ** 3  # the third cumulant of a compound Poisson sum
    exact = rate * float(jump[0] ** 3 + 3 * jump[0] * 4 * matrix[0, 0])
    assert third.mean() == pytest.approx(exact, abs=4 * third.std() / math.sqrt(count))


def test_poisson_numbers_are_scipys() -> None:
    chances = torch.linspace(1e-6, 1 - 1e-6, 4001, dtype=torch.float64)
    for mean in (1e-6, 0.3, 4.0, 75.0):
        assert np.array_equal(poisson_quantile(chances, mean).numpy(), stats.poisson(mean).ppf(chances.numpy()))


def test_the_nearest_correlation_is_one() -> None:
    broken = torch.tensor([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]], dtype=torch.float64)
    made = nearest_correlation(broken)
    assert float(torch.linalg.eigvalsh(made).min()) > 0
    assert made.diagonal().numpy() == pytest.approx(1.0)
    good = torch.eye(3, dtype=torch.float64)
    assert nearest_correlation(good) is good


def test_prices_that_never_move_have_no_risk() -> None:
    returns = history()
    returns[:, 2] = 0.0
    for model, options in FITTED:
        whole = assess(book(), returns, model, scenarios=4_000, **options)
        assert float(whole.component_var[0.99][2]) == pytest.approx(0.0, abs=1e-9 * whole.var[0.99])


def test_an_actor_takes_the_models_by_their_key() -> None:
    for model, options in FITTED:
        check(RiskActorConfig(model=model, model_options=options))


BAD = {
    "innovations": ({"model": "garch", "innovations": "cauchy"}, "`innovations` must be one of normal, t, empirical"),
    "unknown option": ({"model": "gjr", "degrees": 5}, "`degrees` is no option of the model gjr, which takes inn"),
    "mean": ({"model": "garch", "mean": "sample"}, "`mean` must be one of zero, constant, was 'sample'"),
    "degrees": ({"model": "t_copula", "degrees": 2.0}, "`degrees` must be a number above 2, was 2.0"),
    "no number": ({"model": "t_copula", "degrees": "5"}, "`degrees` must be a number, was '5'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options_are_named(name: str) -> None:
    options, message = BAD[name]
    with pytest.raises(InputError, match=message):
        assess(book(), history(), **options)


def test_too_short_a_history_is_named() -> None:
    with pytest.raises(InputError, match="at least 50 periods for a GARCH fit, held 30"):
        assess(book(), history(periods=30), "garch")
    with pytest.raises(InputError, match="the model gjr needs a history of at least 50 periods, was given 30"):
        check(RiskActorConfig(model="gjr", min_observations=30))
    with pytest.raises(InputError, match="more than twice as many periods as moving instruments"):
        assess(book(), history(periods=8), "jump_diffusion")
    assert MODELS["garch"].least == 50


@pytest.mark.parametrize("shocks", ["normal", "t"])
def test_a_batch_of_windows_on_a_device_is_the_hosts_one_by_one(engine: ComputeEngine, shocks: str) -> None:
    windows = torch.stack([window(seed, 300) for seed in range(2)])
    together = garch_fits(windows, True, shocks, engine=engine)
    for one, fits in zip(windows, together, strict=True):
        alone = garch_fits(one[None], True, shocks)[0]
        assert fits.details["not_converged"] == alone.details["not_converged"] == 0
        made, expected = (values(garch_scenarios(one, REQUEST, each, shocks)) for each in (fits, alone))
        assert made.std(axis=1) == pytest.approx(expected.std(axis=1), rel=0.01)
