"""Checks of the Triton kernels against eager ones in float64: run on an NVIDIA GPU, or interpreted on a CPU.

`python -m tests.kernels.triton_cases` runs them all in this process, which wants TRITON_INTERPRET=1 without a GPU.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine, fused
from nautilus_metal.kernels import payoffs
from nautilus_metal.kernels.brownian import draws
from nautilus_metal.kernels.macd import macd
from nautilus_metal.kernels.option_scenarios import BUFFERS, JointScenarios, OptionTerms, moves, option_changes
from nautilus_metal.kernels.path_greeks import Shape, path_figures
from nautilus_metal.kernels.paths import Parameters, black_scholes_paths
from nautilus_metal.kernels.rsi import rsi
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.kernels.triton import book, lstm, paths, scans
from nautilus_metal.models import create_financial_lstm, create_metal_model_wrapper, fused_lstm
from nautilus_metal.risk import Book, Position, assess
from nautilus_metal.risk.pricing_device import device_moments
from nautilus_metal.risk.pricing_monte_carlo import group_moments
from nautilus_metal.risk.pricing_plans import make_plan
from nautilus_metal.risk.pricing_terms import checked_terms
from tests.risk.option_cases import held, option

Device = torch.device
MARKET = {"spot": 100.0, "volatility": 0.25, "rate": 0.03, "expiry": 0.7, "dividend_yield": 0.01}


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare in units of the expected values' largest magnitude."""
    expected = expected.double().cpu()
    scale = float(expected.nan_to_num().abs().max())
    torch.testing.assert_close(found.double().cpu(), expected, rtol=0, atol=tolerance * scale, equal_nan=True)


def indicators(device: Device) -> None:
    """Histories of several blocks, one of them constant, with short and long periods."""
    interpreted = device.type == "cpu"  # it takes time by the bar of a block
    bars, blocks = (400, {"_RSI_BLOCK": 128, "_MACD_BLOCK": 64}) if interpreted else (1100, {})
    prices = torch.randn(3, bars, generator=_generator(1), dtype=torch.float64).cumsum(1)
    prices[2] = 0.0
    periods = [(12, 26, 9), (2, 3, 1)]
    with patch.dict(vars(scans), blocks):
        for kind, tolerance in ((torch.float64, 1e-11), (torch.float32, 1e-5)):
            given = prices.to(kind)
            _close(scans.rsi_scan(given.to(device), [1, 300]), rsi(given.double(), [1, 300]), tolerance)
            lines = torch.stack(list(macd(given.double(), periods)))
            _close(scans.macd_scan(given.to(device), periods), lines, tolerance)


def _option_moments(market: paths.Market, steps: int, start: int, number: int, geometric: bool) -> Tensor:
    drawn = draws(1, steps, 0, number, 11, "pseudo", start)
    ones = torch.ones(1, number, dtype=torch.float64)
    rows = (market.spot * ones, market.volatility * ones, market.rate * ones[0], market.expiry * ones[0])
    yields = torch.tensor([[market.dividend_yield]], dtype=torch.float64)
    p = Parameters(*(row.requires_grad_() for row in rows), yields)
    made = black_scholes_paths(p, drawn, torch.ones(1, 1, dtype=torch.float64), steps == 1, steps > 1)
    kinds = ("geometric" if geometric else "arithmetic", None, "geometric")

    def value(kind: str | None) -> Tensor:
        def pay(seen, rate, expiry):  # type: ignore[no-untyped-def]
            mean = seen.final[0] if kind is None else payoffs.average(seen, kind)
            paid = mean if kind is None else payoffs.vanilla(mean, market.strike, market.sign)
            return (-rate * expiry).exp() * paid

        return path_figures(made, p, pay, Shape())

    figures = torch.stack([value(kind) for kind in kinds])
    mean = figures.mean(-1)
    centred = figures - mean.unsqueeze(-1)
    products = torch.einsum("ifn,jfn->fij", centred, centred)
    return torch.cat([mean.T, products[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]]], 1)


def options(device: Device) -> None:
    """Price, five Greeks and controls from the portable stream: a European call, arithmetic and geometric puts."""
    kinds = ((1, 1.0, False, 3, 901), (6, -1.0, False, 0, 700), (5, 1.0, True, 8, 50))
    for steps, sign, geometric, start, number in kinds:
        market = paths.Market(100.0, 0.25, 0.03, 0.7, 0.01, 103.0, sign)
        found = paths.mean_option_moments(market, steps, 3, 11, start, number, device, geometric).cpu()
        expected = _option_moments(market, steps, start, number, geometric)
        again = paths.mean_option_moments(market, steps, 3, 11, start, number, device, geometric).cpu()
        assert torch.equal(found, again)
        scale = expected[:, :1].abs() + expected[:, 3:4].sqrt() / number**0.5
        assert float(((found - expected).abs()[:, :3] / scale).max()) < 2e-5
        gaps = (found - expected).abs()[:, 3:].amax(1) / expected[:, 3:].abs().amax(1)
        assert float(gaps.max()) < 1e-4


def layers(device: Device) -> None:
    """Two stacked layers, batch and width no multiples of a tile."""
    torch.manual_seed(0)
    network = torch.nn.LSTM(5, 24, 2, batch_first=True)
    window = torch.randn(37, 6, 5, generator=_generator(2))
    with torch.no_grad():
        weights = lstm.pack_weights(network.to(device))
        found = lstm.last_state(window.to(device), weights)
        _close(found, network.cpu().double()(window.double())[0][:, -1], 2e-6)


def _book(assets: int, options: int, count: int, scaled: bool, noisy: bool) -> tuple[Any, ...]:
    generator = _generator(assets)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    row = torch.randint(0, assets, (options,), generator=generator)
    distinct, place = torch.unique(row, return_inverse=True)
    number = len(distinct)
    moneyness = 0.1 * normal(options)
    sign = torch.where(moneyness > 0, -1.0, 1.0).double()
    total, base = 0.05 + 0.1 * normal(options).abs(), 0.01 * normal(options).abs()
    terms = OptionTerms(moneyness, (-moneyness).exp(), total, sign, base, row, place)
    scale = 0.5 + normal(count).abs() if scaled else None
    spots = ScenarioSet(0.01 * normal(assets, assets), normal(assets, count), 0.001 * normal(assets), scale)
    law = (normal(number), 0.001 * normal(number), 0.1 * normal(number).abs())
    joint = JointScenarios(spots, distinct, *law, normal(number, count) if noisy else None)
    expansion = tuple(normal(each) for each in (assets, assets, number))
    return joint, terms, normal(options), normal(assets), expansion, normal(1)


def _moved(value, device):  # type: ignore[no-untyped-def]
    if isinstance(value, Tensor):
        return value.to(device, torch.int64 if value.dtype == torch.int64 else torch.float32)
    if isinstance(value, tuple):
        parts = [_moved(each, device) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def books(device: Device) -> None:
    """Losses, expansion and the weighed tail of books with and without moving volatilities and a common scale.

    Returns are a product of few factors, in which options have some, most or all instruments, of many, or of none.
    """
    kinds = (
        (5, 3, 1500, False, False, "few"), (40, 19, 600, True, True, "few"), (7, 40, 90, False, True, "few"),
        (40, 19, 600, False, True, "calm"), (20, 19, 600, True, True, "diagonal"), (140, 9, 200, True, False, "many"),
    )  # fmt: skip
    for assets, options, count, scaled, noisy, kind in kinds:
        whole = _book(assets, options, count, scaled, noisy)
        loading = whole[0].spots.loading * (0.3 if kind == "calm" else 1.0)
        loading = loading.diagonal().clone() if kind == "diagonal" else loading
        whole = (whole[0]._replace(spots=whole[0].spots._replace(loading=loading)), *whole[1:])
        joint, terms, notionals, exposures, (linear, square, vega), decay = whole
        market = moves(joint, torch.empty(3 * assets * count, dtype=torch.float64))
        values = option_changes(terms, market, torch.empty(BUFFERS * options * count, dtype=torch.float64))
        expansion = linear @ market.changes + square @ market.changes.square() + decay
        if market.volatility is not None:
            expansion += vega @ (market.volatility - 1.0)
        given = _moved(whole, device)
        tables = book.pack(*given, calm=kind == "calm")
        assert (tables.products is not None) == (kind in ("few", "calm"))
        losses = book.book_losses(tables, given[0])
        _close(losses[0], -(exposures @ market.changes + notionals @ values), 1e-5)
        _close(losses[1], -expansion, 1e-5)
        where = torch.randperm(count, generator=_generator(4))[:70]
        weights = torch.rand(70, 5, generator=_generator(5))
        found = book.tail_basis(tables, given[0], where.to(device), weights.to(device))
        _close(found, torch.cat([market.changes, values])[:, where] @ weights.double(), 1e-5)


def _eager() -> Any:
    return patch.dict(os.environ, {fused.SWITCH: "0"})


def tasks(device: Device) -> None:
    """A book, option prices and a network through the front doors take the kernels, and agree with the eager way."""
    window = 0.01 * torch.randn(120, 2, generator=_generator(6)).double().numpy()
    book_ = Book([Position("S", 40, 100.0), held(-3, option("call", 105.0), multiplier=100), Position("T", -9, 50.0)])
    network = create_financial_lstm(hidden_size=8)
    rows = torch.randn(3, 4, 5, generator=_generator(7))
    language = fused.Language(device.type, lambda make: make())
    with ExitStack() as stack:
        stack.enter_context(patch.dict(fused.LANGUAGES, {"triton": language}))
        known = stack.enter_context(patch.object(fused, "_kernels", {}))
        stack.enter_context(patch.object(fused_lstm, "LEAST_BATCH", 1))
        engine = stack.enter_context(ComputeEngine(device.type))

        def figures() -> list[Tensor]:
            law = {"vol_of_vol": 0.8, "spot_vol_correlation": -0.5, "scenarios": 600, "engine": engine}
            risk = [assess(book_, window, levels=(0.95,), **law).var[0.95] for _ in range(4)][-1]
            terms = checked_terms("call", "asian", MARKET, 103.0, "black_scholes", {"observations": 5}, batch=False)
            plan = make_plan(terms, engine)
            sides = [device_moments(terms, plan, engine, 1, 3001, sampler, 4) for sampler in ("pseudo", "fast")]
            if sides[0] is None:
                sides = [group_moments(plan, 1, 3001, sampler, 4, engine) for sampler in ("pseudo", "fast")]
            forecast = create_metal_model_wrapper(network, engine)
            return [torch.tensor(risk), *(torch.from_numpy(side[0].mean) for side in sides), forecast(rows)]

        found = figures()
        assert all(known["triton"].verdicts.values())
        names = {"book_pass", "book_tail", "mean_options_pseudo", "mean_options_fast", "lstm_layers"}
        assert set(known["triton"].verdicts) == names
        with _eager():
            expected = figures()
    for ours, theirs in zip(found, expected, strict=True):
        _close(ours, theirs, 1e-4)


CASES: tuple[Callable[[Device], None], ...] = (indicators, options, layers, books, tasks)

if __name__ == "__main__":
    for case in CASES:
        case(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        print(case.__name__, flush=True)
