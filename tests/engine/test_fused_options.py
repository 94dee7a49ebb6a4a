"""The compiled loop over a book's options gives the eager kernel's profits, and those of Black and Scholes."""

from concurrent.futures import Future

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, fused, fused_options
from nautilus_metal.engine.fused_options import LEAST, fused_profits, has_loop
from nautilus_metal.engine.threads import share, torch_alone
from nautilus_metal.kernels import black_scholes
from nautilus_metal.kernels.fused_options import option_profits
from nautilus_metal.kernels.option_scenarios import BUFFERS, Moves, OptionTerms, option_changes
from nautilus_metal.risk import Book, Option, Position, assess

numba = pytest.importorskip("numba")
CPU = torch.device("cpu")


def terms_of(strikes, years, sigma, rate=0.02, assets=1, dtype=torch.float64):
    """Options on a spot of 100, the out-of-the-money ones of their pairs, with no value today."""
    moneyness = torch.log(100.0 / strikes) + rate * years
    sign = torch.where(moneyness <= 0, 1.0, -1.0)
    rows = torch.arange(len(strikes)) % assets
    columns = moneyness, (-moneyness).exp(), sigma * years**0.5, sign, torch.zeros_like(strikes)
    return OptionTerms(*(column.to(dtype) for column in columns), rows, rows)


def markets(scenarios, assets=2, moving=True):
    random = torch.Generator().manual_seed(1)
    returns = 0.03 * torch.randn(assets, scenarios, generator=random)
    factors = (0.1 * torch.randn(assets, scenarios, generator=random)).exp() if moving else None
    return Moves(returns, returns.expm1(), factors)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("scenarios", [1, 1023, 1024, 1025, 9_000])
def test_equals_black_scholes(moving, scenarios):
    strikes, years, sigma = torch.linspace(70.0, 140.0, 8).double(), torch.linspace(0.05, 2.0, 8).double(), 0.3
    market = markets(scenarios, moving=moving)
    add = fused_profits(market, LEAST, 1)
    profits, notionals = torch.zeros(scenarios), torch.linspace(-1.0, 2.0, 8)
    add(terms_of(strikes, years, sigma, assets=2, dtype=torch.float32), notionals, market, profits)
    expected = torch.zeros(scenarios, dtype=torch.float64)
    for i in range(8):
        growth = market.returns[i % 2].double().exp()
        volatility = sigma * (market.volatility[i % 2].double() if moving else torch.ones(scenarios).double())
        kind = 1.0 if torch.log(100.0 / strikes[i]) + 0.02 * years[i] <= 0 else -1.0
        price = black_scholes.price(
            spot=100.0 * growth, strike=strikes[i], rate=torch.tensor(0.02).double(),
            dividend_yield=torch.tensor(0.0), volatility=volatility, expiry=years[i],
            kind=torch.tensor(kind).double(),
        )  # fmt: skip
        expected += float(notionals[i]) * price / 100.0
    np.testing.assert_allclose(profits, expected, rtol=0, atol=2e-6)


def test_uncompiled_it_is_right():
    market = markets(40)
    terms = terms_of(torch.tensor([90.0, 110.0]), torch.tensor([0.5, 1.0]), 0.2, assets=2, dtype=torch.float32)
    notionals = torch.tensor([2.0, -1.0])
    expected = notionals @ option_changes(terms, market, torch.empty(BUFFERS * 2 * 40))
    profits = np.zeros(40, np.float32)
    table, rows = torch.stack(terms[:5]).numpy(), torch.stack([terms.row, terms.volatility_row]).numpy()
    option_profits(*(each.numpy() for each in market), table, rows, notionals.numpy(), profits)
    np.testing.assert_allclose(profits, expected, atol=1e-6)


def test_threads_change_nothing(monkeypatch):
    market = markets(9_000)
    terms = terms_of(torch.linspace(80, 120, 60), torch.linspace(0.1, 1.0, 60), 0.2, assets=2, dtype=torch.float32)
    add, found = fused_profits(market, LEAST, 1), []
    for part, small in ((1024, 1), (4096, 1 << 40)):
        monkeypatch.setattr(fused_options, "_PART", part)
        monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", small)
        profits = torch.zeros(9_000)
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        try:
            with torch_alone():
                add(terms, torch.ones(60), market, profits)
        finally:
            torch.set_num_threads(before)
        found.append(profits)
    assert torch.equal(*found)


def option_book():
    positions = []
    for i in range(8):
        terms = Option(f"U{i % 2}", "call" if i % 3 else "put", strike=85.0 + 5 * i, rate=0.02, expiry=0.1 + 0.1 * i,
                       volatility=0.2, spot=100.0)  # fmt: skip
        positions.append(Position(f"O{i}", 5.0 - i, 4.0, multiplier=100, option=terms))
    return Book([*positions, Position("U0", 50.0, 100.0)])


@pytest.mark.parametrize("options", [{}, {"vol_of_vol": 0.8, "spot_vol_correlation": -0.5}])
@pytest.mark.parametrize("model", ["normal", "student_t", "historical"])
def test_a_book_is_assessed_as_without_it(model, options, monkeypatch):
    returns = np.random.default_rng(0).normal(scale=0.01, size=(400, 2))
    monkeypatch.setattr(fused_options, "LEAST", 1)
    found = {}
    with ComputeEngine("cpu") as engine:
        for fused_or_not in ("0", "1"):
            monkeypatch.setenv("NAUTILUS_METAL_FUSED", fused_or_not)
            found[fused_or_not] = assess(option_book(), returns, model, scenarios=4_000, engine=engine, **options)
        assert has_loop(CPU)
    plain, ours = found["0"], found["1"]
    for name in ("var", "es", "component_var", "component_es", "marginal_es", "delta_gamma_var"):
        for level, expected in getattr(plain, name).items():
            scale = plain.es[level] if "marginal" not in name else np.abs(expected).max()
            np.testing.assert_allclose(getattr(ours, name)[level], expected, rtol=0, atol=1e-4 * scale, err_msg=name)
    assert ours.drift < 1e-4


def test_small_work_does_not_begin_to_compile(monkeypatch):
    monkeypatch.setattr(fused, "_kernels", {})
    assert fused_profits(markets(10), 1, 10) is None
    assert not has_loop(CPU)
    assert fused._kernels["numba"].verdicts == {}


@pytest.mark.parametrize("change", ["switch", "float64"])
def test_where_it_is_not_used(change, monkeypatch):
    market = markets(10)
    if change == "switch":
        monkeypatch.setenv("NAUTILUS_METAL_FUSED", "0")
        assert not has_loop(CPU)
    else:
        market = Moves(*(each.double() for each in market))
    assert fused_profits(market, LEAST, 1) is None


def test_a_loop_that_disagrees_is_dropped(monkeypatch):
    def nothing(*_):
        pass

    monkeypatch.setattr(fused, "_kernels", {})
    monkeypatch.setitem(fused.LANGUAGES, "numba", fused.Language("cpu", lambda _: nothing))
    with pytest.warns(RuntimeWarning, match="fused kernel option_profits is dropped"):
        assert fused_profits(markets(10), LEAST, 1) is None
    assert not has_loop(CPU)


def test_torch_alone_leaves_its_threads_to_loops(monkeypatch):
    monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    asked, done = [], []

    class Busy:
        """Threads that never come to it."""

        def submit(self, work):
            asked.append(work)
            return Future()

    monkeypatch.setattr("nautilus_metal.engine.threads._helpers", Busy)
    try:
        with torch_alone(), torch_alone():
            assert torch.get_num_threads() == 1
            share(done.append, range(8), 10)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert len(asked) == 2
    assert done == list(range(8))
