"""Acerbi and Szekely's tests against loops, published critical values, and simulation; the shapes that they use."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.risk.validation import acerbi_szekely, empirical_law, normal_law, student_law
from nautilus_metal.risk.validation.shortfall import TESTS, _model_parts, _simulate

HISTORIES = 12_000
DAYS = 500


@pytest.fixture(scope="module")
def host():
    """Float64 on the CPU."""
    with ComputeEngine("cpu", precision="float64") as made:
        yield made


def stated(law, level: float, days: int, location: float = 0.0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    var, es = law.value_at_risk(level), law.expected_shortfall(level)
    return np.full(days, scale * var - location), np.full(days, scale * es - location)


def by_loops(pnl, var, es, level: float, quantile, tail_quantile: float, tail_mean: float) -> dict[str, float]:
    """The five statistics day by day, from the formulas of the papers, for any quantile function of the shape."""
    days, tail = len(pnl), 1 - level
    worst = int(days * tail)
    scale = (es - var) / (tail_mean - tail_quantile)
    location = scale * tail_quantile - var
    hit = [day for day in range(days) if -pnl[day] > var[day]]
    rank = sorted((pnl - location) / scale)[:worst]
    mean = -days / worst * integrate.quad(
        lambda p: special.betainc(days - worst, worst, 1 - p) * quantile(p), 1e-13, 1, limit=500, points=[tail]
    )[0]
    ratio = [
        -np.mean([location[day] + scale[day] * one for one in rank]) / (scale[day] * mean - location[day])
        for day in range(days)
    ]
    gap = [es[day] - var[day] - max(0.0, -(pnl[day] + var[day])) / tail for day in range(days)]
    return {
        "conditional": sum(pnl[day] / es[day] for day in hit) / len(hit) + 1,
        "unconditional": sum(pnl[day] / es[day] for day in hit) / (days * tail) + 1,
        "quantile": 1 - float(np.mean(ratio)),
        "min_bias_absolute": float(np.mean(gap)),
        "min_bias_relative": float(np.mean([one / day for one, day in zip(gap, es, strict=True)])),
    }


@pytest.mark.parametrize(("law", "shape"), [(normal_law(), stats.norm()), (student_law(4), stats.t(4))])
def test_statistics_equal_the_papers_formulas(law, shape, host) -> None:
    level, rng = 0.975, np.random.default_rng(1)
    scale, location = rng.uniform(0.5, 2.0, DAYS), rng.normal(0, 0.1, DAYS)
    tail_quantile = -shape.ppf(1 - level)
    tail_mean = -integrate.quad(shape.ppf, 0, 1 - level)[0] / (1 - level)
    var, es = scale * tail_quantile - location, scale * tail_mean - location
    pnl = location + scale * shape.rvs(DAYS, random_state=rng)
    expected = by_loops(pnl, var, es, level, shape.ppf, tail_quantile, tail_mean)
    verdict = acerbi_szekely(pnl, var, es, level, law, simulations=99, engine=host)
    assert verdict.exceptions == int((-pnl > var).sum())
    for name in TESTS:
        assert getattr(verdict, name).statistic == pytest.approx(expected[name], rel=1e-5, abs=1e-6), name


# Risk Management Toolbox, pages of `esbacktest.unconditionalNormal` and `.unconditionalT` (from its table), and of
# `esbacktestbysim`: critical values for 1,966 days; the simulated ones are of 1,000 series, whose error counts here.
PUBLISHED = [
    (normal_law(), 0.975, 0.01, 20_000, {"unconditional": -0.34639}),
    (student_law(3), 0.975, 0.01, 20_000, {"unconditional": -0.42986}),
    (
        student_law(10),
        0.95,
        0.05,
        1000,
        {
            "conditional": -0.043941,
            "unconditional": -0.16252,
            "quantile": -0.055798,
            "min_bias_relative": -0.056072,
        },
    ),
    (student_law(10), 0.975, 0.05, 1000, {"conditional": -0.052575, "unconditional": -0.2268, "quantile": -0.073513}),
    (student_law(10), 0.99, 0.05, 1000, {"unconditional": -0.38264, "quantile": -0.10117}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("law", "level", "significance", "series", "published"), PUBLISHED)
def test_matlabs_critical_values(law, level, significance, series, published) -> None:
    """Within 3 standard errors: of a share, times the critical value's slope in it."""
    var, es = stated(law, level, 1966)
    with ComputeEngine("cpu") as engine:
        simulated = _simulate(_model_parts(var, es, level, law), level, law, 4999, 1, engine)
    error = np.sqrt(significance * (1 - significance) * (1 / series + 1 / 4999))
    for name, value in published.items():
        row = simulated[TESTS.index(name)]
        low, middle, high = np.quantile(row, [0.5 * significance, significance, 1.5 * significance])
        assert abs(middle - value) < 3 * error * (high - low) / significance, (name, middle, value)


def test_the_papers_critical_value_for_a_year(host) -> None:
    """Acerbi and Szekely (2014): Z2 of 250 days at 97.5% rejects at 5% from about -0.7, hardly whatever the law."""
    for law in (normal_law(), student_law(10), student_law(5)):
        var, es = stated(law, 0.975, 250)
        verdict = acerbi_szekely(np.zeros(250), var, es, 0.975, law, simulations=9999, engine=host)
        assert verdict.unconditional.critical_value == pytest.approx(-0.70, abs=0.05), law


def rejections(law, low: float, level: float = 0.975) -> dict[str, float]:
    """Share of histories that each test rejects at 5%, where both figures are `low` times too small."""
    with ComputeEngine("cpu") as engine:
        var, es = stated(law, level, DAYS)
        verdict = acerbi_szekely(np.zeros(DAYS), low * var, low * es, level, law, simulations=19_999, engine=engine)
        uniform = np.random.default_rng(3).random((HISTORIES, DAYS))
        scores = stats.norm.ppf(uniform)
        pnl = np.interp(scores, np.linspace(-8.5, 8.5, len(law.quantiles)), law.quantiles)
    excess, hits = -pnl - low * var, -pnl > low * var
    lost, number = (-pnl * hits / (low * es)).sum(axis=1), hits.sum(axis=1)
    gap = low * (es - var) - np.maximum(excess, 0) / (1 - level)
    worst = int(DAYS * (1 - level) + 1e-9)
    smallest = np.sort(pnl, axis=1)[:, :worst].mean(axis=1) / low
    found = {
        "conditional": np.where(number > 0, 1 - lost / np.maximum(number, 1), np.inf),
        "unconditional": 1 - lost / (DAYS * (1 - level)),
        "quantile": 1 + smallest / law.worst_mean(DAYS, worst),
        "min_bias_absolute": gap.mean(axis=1),
        "min_bias_relative": gap.mean(axis=1) / (low * es[0]),
    }
    return {name: float((value <= getattr(verdict, name).critical_value).mean()) for name, value in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("law", [normal_law(), student_law(5)])
def test_size_under_a_right_model(law) -> None:
    """12,000 histories of 500 days: 4% to 6%; a share of 5% has a standard error of 0.2%, the threshold of 0.15%."""
    rejected = rejections(law, 1.0)
    assert all(0.04 < share < 0.06 for share in rejected.values()), rejected


@pytest.mark.parametrize(("law", "least", "alone"), [(normal_law(), 0.99, 0.15), (student_law(5), 0.85, 0.06)])
def test_power_against_a_model_that_is_30_percent_too_low(law, least: float, alone: float) -> None:
    """`conditional` sees the size beyond VaR alone, in which a scale that is too small hardly shows."""
    rejected = rejections(law, 0.7)
    for name in ("unconditional", "quantile", "min_bias_absolute", "min_bias_relative"):
        assert rejected[name] > least, rejected
    assert rejected["conditional"] > alone, rejected


def test_p_values_are_those_of_the_simulation(host) -> None:
    """p-values of right histories are uniform: Kolmogorov and Smirnov do not object at 0.1%."""
    law, level, days = normal_law(), 0.9, 60
    var, es = stated(law, level, days)
    rng = np.random.default_rng(4)
    found = [acerbi_szekely(rng.normal(size=days), var, es, level, simulations=499, engine=host) for _ in range(200)]
    for name in TESTS:
        p_values = [getattr(one, name).p_value for one in found]
        assert stats.kstest(p_values, "uniform").pvalue > 1e-3, name
        for one in found:
            result = getattr(one, name)
            assert (result.p_value <= 0.05) == (result.statistic <= result.critical_value)
            error = np.sqrt(result.p_value * (1 - result.p_value) / 499)
            assert result.standard_error == pytest.approx(error, rel=1e-2)


def test_device_equals_cpu(engine, host) -> None:
    """The same random numbers: only rounding of float32 is between them."""
    rng = np.random.default_rng(5)
    scale = rng.uniform(0.5, 2.0, 250)
    for law in (normal_law(), student_law(5), empirical_law(rng.normal(size=400))):
        var, es = scale * law.value_at_risk(0.975), scale * law.expected_shortfall(0.975)
        pnl = scale * rng.normal(size=250)
        ours, exact = (
            acerbi_szekely(pnl, var, es, 0.975, law, simulations=999, engine=one) for one in (engine, host)
        )
        for name in TESTS:
            first, second = getattr(ours, name), getattr(exact, name)
            assert first.statistic == second.statistic
            assert first.critical_value == pytest.approx(second.critical_value, rel=1e-3, abs=1e-5), name
            assert first.p_value == pytest.approx(second.p_value, abs=3e-3), name


@pytest.mark.parametrize("degrees", [1.5, 3.0, 10.0, 1e4])
def test_students_shape(degrees: float) -> None:
    law, level = student_law(degrees), 0.99
    q = -stats.t.ppf(1 - level, degrees)
    tail = stats.t.pdf(q, degrees) / (1 - level) * (degrees + q * q) / (degrees - 1)
    assert law.value_at_risk(level) == pytest.approx(q, rel=3e-6)
    assert law.expected_shortfall(level) == pytest.approx(tail, rel=3e-6 if degrees > 2 else 1e-4)


def test_empirical_shape_is_the_sample() -> None:
    sample = np.random.default_rng(6).normal(size=4000)
    law = empirical_law(sample)
    assert law.value_at_risk(0.95) == pytest.approx(-np.quantile(sample, 0.05), rel=2e-3)
    assert law.expected_shortfall(0.95) == pytest.approx(-np.sort(sample)[:200].mean(), rel=2e-3)


def test_what_is_not_defined_is_none(host) -> None:
    var, es = stated(normal_law(), 0.99, 30)
    verdict = acerbi_szekely(np.ones(30), var, es, 0.99, simulations=99, engine=host)
    assert verdict.conditional.statistic is verdict.conditional.p_value is None
    assert verdict.quantile.statistic is verdict.quantile.critical_value is None
    assert verdict.unconditional.statistic == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pnl": [1.0]}, "`pnl`, `var` and `es` must be series of one length"),
        ({"pnl": [1.0, np.nan]}, "must be finite"),
        ({"es": [2.0, 1.0]}, "`es` must be positive and above `var` on every day, was 1 beside 1 on day 1"),
        ({"var": [-2.0, -2.0], "es": [-1.0, 1.0]}, "`es` must be positive"),
        ({"level": 1.0}, "`level` must lie between 0 and 1"),
        ({"significance": 0.0}, "`significance` must lie between 0 and 1, was 0"),
        ({"simulations": 5}, "`simulations` must be at least 99, was 5"),
        ({"pnl": [], "var": [], "es": []}, "must hold at least one day"),
    ],
)
def test_bad_input_is_refused(change: dict, message: str) -> None:
    arguments = {"pnl": [1.0, -1.0], "var": [1.0, 1.0], "es": [2.0, 2.0], "level": 0.95}
    with pytest.raises(InputError, match=message):
        acerbi_szekely(**(arguments | change))


@pytest.mark.parametrize("call", [lambda: student_law(1.0), lambda: student_law(np.nan)])
def test_degrees_are_checked(call) -> None:
    with pytest.raises(InputError, match="`degrees` must be above 1"):
        call()


@pytest.mark.parametrize("sample", [[1.0], [2.0, 2.0], [1.0, np.inf], [[1.0, 2.0]]])
def test_innovations_are_checked(sample) -> None:
    with pytest.raises(InputError, match="`innovations` must be finite values that differ"):
        empirical_law(sample)
