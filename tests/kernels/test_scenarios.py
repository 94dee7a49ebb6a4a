"""Scenario returns and losses of a book against float64 loops, on every device."""

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.scenarios import (
    ScenarioSet,
    full_losses,
    linear_losses,
    net_loading,
    relative_changes,
    scaled_factors,
    scenario_returns,
)

ASSETS, COUNT = 5, 203
TOLERANCE = 2e-6  # of the largest loss: float32 rounding of sums over five assets


def case(diagonal: bool, scaled: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "exposures": rng.normal(size=ASSETS) * 100,
        "loading": rng.normal(size=ASSETS if diagonal else (ASSETS, ASSETS)) * 0.02,
        "factors": rng.normal(size=(ASSETS, COUNT)),
        "shift": rng.normal(size=ASSETS) * 0.001,
        "scale": rng.uniform(0.5, 2, size=COUNT) if scaled else None,
    }


def returns_by_loop(parts: dict[str, np.ndarray]) -> np.ndarray:
    loading = np.diag(parts["loading"]) if parts["loading"].ndim == 1 else parts["loading"]
    out = np.empty((ASSETS, COUNT))
    for i in range(ASSETS):
        for j in range(COUNT):
            scale = 1.0 if parts["scale"] is None else parts["scale"][j]
            out[i, j] = sum(loading[i, k] * parts["factors"][k, j] for k in range(ASSETS)) * scale + parts["shift"][i]
    return out


def on(engine: ComputeEngine, parts: dict[str, np.ndarray]) -> tuple[torch.Tensor, ScenarioSet]:
    moved = {name: None if value is None else engine.upload(value) for name, value in parts.items()}
    exposures = moved.pop("exposures")
    return exposures, ScenarioSet(**moved)


cases = pytest.mark.parametrize(("diagonal", "scaled"), [(False, False), (False, True), (True, False), (True, True)])


@cases
def test_returns_and_losses_equal_a_loop(engine: ComputeEngine, diagonal: bool, scaled: bool) -> None:
    parts = case(diagonal, scaled)
    exposures, scenarios = on(engine, parts)
    expected = returns_by_loop(parts)
    close = {"rtol": 0, "atol": TOLERANCE * np.abs(expected).max()}
    np.testing.assert_allclose(engine.download(scenario_returns(scenarios)), expected, **close)
    np.testing.assert_allclose(engine.download(relative_changes(scenarios, linear=True)), expected, **close)
    changes = np.expm1(expected)
    np.testing.assert_allclose(engine.download(relative_changes(scenarios, linear=False)), changes, **close)

    losses = -parts["exposures"] @ expected
    close = {"rtol": 0, "atol": TOLERANCE * np.abs(losses).max()}
    net, drift = net_loading(exposures, scenarios.loading), float(parts["exposures"] @ parts["shift"])
    got = engine.download(linear_losses(net, drift, scenarios.factors, scenarios.scale))
    np.testing.assert_allclose(got, losses, **close)

    revalued = -parts["exposures"] @ changes
    for piece in (1, 7, 202, 203, 500):
        buffer = torch.full((ASSETS, piece), float("nan"), dtype=engine.dtype, device=engine.device)
        got = engine.download(full_losses(exposures, scenarios, buffer))
        np.testing.assert_allclose(got, revalued, err_msg=str(piece), **close)


@cases
def test_parts_are_columns_and_rows(engine: ComputeEngine, diagonal: bool, scaled: bool) -> None:
    parts = case(diagonal, scaled)
    _, scenarios = on(engine, parts)
    whole = engine.download(scenario_returns(scenarios))
    where = torch.tensor([7, 0, 202, 7], device=engine.device)
    picked = engine.download(scenario_returns(scenarios.part(where)))
    np.testing.assert_allclose(picked, whole[:, [7, 0, 202, 7]], rtol=1e-5, atol=1e-8)
    sliced = engine.download(scenario_returns(scenarios.part(slice(3, 9))))
    np.testing.assert_allclose(sliced, whole[:, 3:9], rtol=1e-5, atol=1e-8)
    for row in range(ASSETS):
        one = engine.download(scenario_returns(scenarios.asset(row)))
        np.testing.assert_allclose(one, whole[row : row + 1], rtol=1e-5, atol=1e-8)


def test_evaluation_leaves_its_inputs_alone(engine: ComputeEngine) -> None:
    exposures, scenarios = on(engine, case(diagonal=True, scaled=True))
    before = [tensor.clone() for tensor in (exposures, *scenarios)]
    scenario_returns(scenarios)
    relative_changes(scenarios, linear=False)
    scaled_factors(scenarios)
    linear_losses(net_loading(exposures, scenarios.loading), 1.0, scenarios.factors, scenarios.scale)
    full_losses(exposures, scenarios, torch.empty(ASSETS, 10, dtype=engine.dtype, device=engine.device))
    assert all(torch.equal(a, b) for a, b in zip(before, (exposures, *scenarios), strict=True))
