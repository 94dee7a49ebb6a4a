"""Each code sample of the older package's page runs with only its import line changed."""

import ast
import asyncio
import inspect
import logging
import re
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import nautilus_metal
from nautilus_metal.compat import metal_device_manager
from nautilus_metal.risk.pricing import price_option

TEXT = (Path(__file__).parent / "data" / "page_samples.md").read_text(encoding="utf-8")
SAMPLES = dict(re.findall(r"^## ([^\n]+)\n\n```python\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL))
LOOP_WITHIN = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def run(title: str, **names: object) -> dict:
    """Run a sample as a notebook would, with what it takes for granted, and return its names."""
    changed = SAMPLES[title].replace("backend.acceleration", "nautilus_metal")
    code = compile(changed, f"page: {title}", "exec", flags=LOOP_WITHIN)
    space: dict = {"__name__": "page", "torch": torch, **names}

    async def whole() -> None:
        result = eval(code, space)
        if inspect.isawaitable(result):
            await result

    asyncio.run(whole())
    return space


def test_the_samples_are_all_of_them_and_only_their_imports_change():
    assert len(SAMPLES) == 14
    for sample in SAMPLES.values():
        lines = [line for line in sample.splitlines() if "backend.acceleration" in line]
        assert all(line.startswith("from backend.acceleration") or "getLogger(" in line for line in lines)


def test_basic_initialization(capsys):
    space = run("Basic Initialization")
    here = torch.backends.mps.is_available()
    assert space["status"]["metal_available"] is here is space["is_metal_available"]()
    assert capsys.readouterr().out.startswith(f"Metal available: {here}\nM4 Max detected: ")


def test_options_pricing(capsys):
    result = run("Options Pricing with Monte Carlo")["result"]
    exact = price_option(spot=100.0, strike=110.0, expiry=0.25, rate=0.05, volatility=0.2)
    assert result.num_simulations == 1_000_000
    assert abs(result.option_price - exact.price) < 4 * result.standard_errors["price"]
    assert abs(result.delta - exact.greeks["delta"]) < 4 * result.standard_errors["delta"]
    assert f"Option Price: ${result.option_price:.4f}" in capsys.readouterr().out


def test_technical_indicators(prices):
    space = run("Technical Indicators", price_data=prices)
    assert space["rsi_result"].indicator_name == "RSI"
    assert len(space["rsi_result"].values) == len(space["macd_result"].values) == len(prices)


def test_neural_networks():
    window = torch.randn(7, 20, 5, generator=torch.Generator().manual_seed(0))
    space = run("Financial Neural Networks", input_tensor=window)
    assert space["predictions"].shape == (7, 1)
    torch.testing.assert_close(space["create_metal_model_wrapper"](space["lstm_model"])(window), space["predictions"])


def test_memory_management(capsys):
    space = run("Memory Management")
    assert tuple(space["result"].shape) == (1000, 1000)
    assert space["memory_stats"].total_allocated_mb >= 1000 * 1000 * 4 / 2**20
    assert re.search(r"GPU Memory Usage: \d+\.\d\d MB\nCache Hit Rate: \d+\.\d\d%", capsys.readouterr().out)


def test_optimization_for_a_workload():
    space = run("For M4 Max Users")
    assert space["batch_size"] >= 2048
    assert space["use_fp16"] is False


def test_memory_optimization():
    with nautilus_metal.allocate_gpu_tensor((512, 512), cache_key="idle"):
        pass
    stats = run("Memory Optimization", get_memory_pool_stats=nautilus_metal.get_memory_pool_stats)["stats"]
    assert stats.total_cached_mb == stats.total_free_mb == 0.0
    assert stats.memory_pressure_level == "low"


def test_performance_monitoring(capsys):
    returns = np.random.default_rng(0).normal(0.0, 0.01, (250, 4))
    space = run(
        "Performance Monitoring",
        optimize_portfolio_metal=nautilus_metal.optimize_portfolio_metal,
        weights=np.full(4, 0.25),
        returns=returns,
        constraints={"upper": 0.5},
    )
    assert re.fullmatch(r"Memory utilization: \d+\.\d%\n", capsys.readouterr().out)
    assert space["result"].status == "optimal"
    assert space["result"].optimal_weights.max() <= 0.5 + 1e-6


def test_runtime_configuration():
    before = metal_device_manager.engine().pool.budget_bytes
    run("Runtime Configuration")
    config = metal_device_manager.config
    assert (config.memory_fraction, config.optimization_level, config.batch_size) == (0.75, "aggressive", 4096)
    assert metal_device_manager.engine().pool.budget_bytes != before


def test_memory_pressure(capsys):
    run("Memory Pressure Issues")
    assert capsys.readouterr().out == "Memory pressure: low\n"


def test_recommendations(capsys):
    space = run("Performance Issues")
    assert capsys.readouterr().out == "".join(f"- {line}\n" for line in space["recommendations"])


def test_logging(prices, caplog):
    run("Logging Configuration")
    assert logging.getLogger("nautilus_metal").level == logging.DEBUG
    asyncio.run(nautilus_metal.calculate_rsi_metal(prices))
    assert [r.name for r in caplog.records if "rsi" in r.getMessage()] == ["nautilus_metal.metal_compute"]
    logging.getLogger("nautilus_metal.metal_compute").setLevel(logging.NOTSET)


def test_the_strategy(prices):
    cls = run("Trading Strategies")["MetalAcceleratedStrategy"]
    market = types.SimpleNamespace(prices=prices[:300], current_price=float(prices[299]), implied_vol=0.25)

    class Trading(cls):
        def _generate_trading_signals(self, rsi, hedge_price):
            return rsi.signals[-1], hedge_price.option_price

    signal, hedge = asyncio.run(Trading().generate_signals(market))
    spot = market.current_price
    exact = price_option(spot=spot, strike=1.1 * spot, expiry=30 / 365, rate=0.05, volatility=0.25).price
    assert signal in ("buy", "sell", "hold")
    assert hedge == pytest.approx(exact, rel=0.02)


def test_the_risk_engine():
    cls = run("Risk Management")["MetalAcceleratedRiskEngine"]
    portfolio = types.SimpleNamespace(current_value=1e6, historical_vol=0.2)

    class Risk(cls):
        def _calculate_var_from_simulations(self, simulated):
            return float(portfolio.current_value - np.quantile(simulated.final_prices, 0.01))

    value_at_risk = asyncio.run(Risk().calculate_portfolio_var(portfolio))
    step = 0.2 * (1 / 365) ** 0.5
    exact = 1e6 * (1 - np.exp((0.05 - 0.02) / 365 - 2.3263479 * step))
    density = np.exp(-0.5 * 2.3263479**2) / np.sqrt(2 * np.pi)
    error = 1e6 * step * np.sqrt(0.01 * 0.99 / 100_000) / density
    assert abs(value_at_risk - exact) < 4 * error
