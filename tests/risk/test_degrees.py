"""Degrees of freedom against a search over the whole grid in float64."""

import math

import numpy as np
import pytest
import torch

from nautilus_metal.engine.fused import SWITCH
from nautilus_metal.engine.fused_degrees import fused_log_sum
from nautilus_metal.kernels.degrees_loop import log_sum_loop
from nautilus_metal.risk.degrees import DEGREES_GRID, fit_degrees


def best(squares: torch.Tensor) -> float:
    def likelihood(degrees: float) -> float:
        constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi * (degrees - 2))
        return constant - (degrees + 1) / 2 * float((squares / (degrees - 2)).log1p().mean())

    return max(DEGREES_GRID, key=likelihood)


@pytest.fixture(params=["1", "0"], ids=["compiled", "eager"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, request.param)


@pytest.mark.parametrize("degrees", [2.2, 3.2, 4.5, 7.0, 25.0, 1e6])
@pytest.mark.parametrize(("assets", "periods"), [(1, 3), (3, 101), (20, 1000)])
def test_the_search_finds_the_best_of_the_grid(degrees: float, assets: int, periods: int) -> None:
    drawn = np.random.default_rng(periods).standard_t(degrees, size=(assets, periods))
    squares = torch.from_numpy(drawn).square()
    squares = squares / squares.mean(dim=-1, keepdim=True)
    assert fit_degrees(squares) == best(squares)
    still = torch.cat([squares, torch.zeros(1, periods, dtype=torch.float64)])
    assert fit_degrees(still) == best(squares)


def test_a_square_without_measure_stays_finite() -> None:
    squares = torch.ones(1, 1000, dtype=torch.float64)
    squares[0, :8] = 1e8
    assert fit_degrees(squares) == best(squares)


@pytest.mark.parametrize("above", [0.5, 98.0])
def test_a_sum_of_logarithms_is_that_of_each(above: float) -> None:
    rows = torch.from_numpy(np.random.default_rng(0).standard_t(2.5, size=(32, 37))).square()
    expected = np.log(rows.numpy() + above).sum()
    assert fused_log_sum(rows)(above) == pytest.approx(expected, rel=1e-13)
    assert log_sum_loop(rows.numpy(), above, np.empty(37)) == pytest.approx(expected, rel=1e-13)
