"""A task in pieces of its scenarios, where memory is short, is the task done at once."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import OutOfDeviceMemory
from nautilus_metal.risk import Book, Option, Position, assess, option_tables
from nautilus_metal.risk import evaluation as evaluation_module
from nautilus_metal.risk.evaluation import PlainWork
from nautilus_metal.risk.tail_parts import TailParts

ASSETS, SCENARIOS = 8, 20_000
HISTORY = np.random.default_rng(5).standard_t(5, size=(300, ASSETS)) * 0.01
PLAIN = Book.linear(quantities=np.linspace(-50, 90, ASSETS), prices=np.linspace(20, 200, ASSETS))
MODELS = {
    "normal": {},
    "student_t": {},
    "normal, revalued": {"model": "normal", "revaluation": "full"},
    "filtered, 5 days": {"model": "filtered_historical", "horizon": 5},
}
FIGURES = ("var", "es", "var_se", "es_se", "component_var", "component_es")


def small(share: float, **options) -> ComputeEngine:
    """An engine whose pool holds a share of the normals of these tests."""
    total = ComputeEngine("cpu").status()["total_mb"] * 2**20
    return ComputeEngine("cpu", memory_fraction=share * 32 * 8 * SCENARIOS / total, **options)


def option_book() -> Book:
    strikes = {"A": 90.0, "B": 100.0, "C": 105.0, "D": 120.0}
    calls = [Option(name, "call", strike, 0.2, 0.25, 100.0) for name, strike in strikes.items()]
    rows = [Position(f"{one.underlying}C", -7.0, 5.0, 100.0, option=one) for one in calls]
    return Book([*rows, *(Position(name, 300.0, 100.0) for name in "ABCDEFGH")])


def same(pieces, whole, rtol):
    for name in FIGURES:
        for level in whole.var:
            expected = getattr(whole, name)[level]
            least = rtol * whole.var[level]
            np.testing.assert_allclose(getattr(pieces, name)[level], expected, rtol, least, err_msg=name)
    assert pieces.worst_loss == pytest.approx(whole.worst_loss, rel=rtol)
    np.testing.assert_allclose(pieces.worst_scenario, whole.worst_scenario, rtol=rtol, atol=rtol * whole.worst_loss)
    assert pieces.drift == pytest.approx(whole.drift, abs=1e-6)


@pytest.mark.parametrize("share", [0.6, 0.2])
@pytest.mark.parametrize("case", MODELS)
def test_a_plain_book_in_pieces(case, share):
    options = {"model": case, "scenarios": SCENARIOS} | MODELS[case]
    engine = small(share)
    pieces = assess(PLAIN, HISTORY, engine=engine, **options)
    assert engine.pool.stats().peak_usage_mb * 2**20 <= engine.pool.budget_bytes
    same(pieces, assess(PLAIN, HISTORY, engine=ComputeEngine("cpu"), **options), 2e-5)


@pytest.mark.parametrize("law", [{}, {"vol_of_vol": 0.8, "spot_vol_correlation": -0.6}], ids=["spot", "spot and vol"])
@pytest.mark.parametrize("model", ["normal", "student_t", "filtered_historical"])
def test_a_book_with_options_in_pieces(model, law, monkeypatch):
    monkeypatch.setattr(option_tables, "_PIECE", 2**14)
    monkeypatch.setattr(option_tables, "_MARKET_PIECE", 2**14)
    book, options = option_book(), {"model": model, "scenarios": SCENARIOS, "horizon": 2} | law
    pieces = assess(book, HISTORY, engine=small(0.6), **options)
    whole = assess(book, HISTORY, engine=ComputeEngine("cpu"), **options)
    same(pieces, whole, 2e-5)
    for level in whole.var:
        assert pieces.delta_gamma_var[level] == pytest.approx(whole.delta_gamma_var[level], rel=1e-5)


def test_pieces_are_really_made(monkeypatch):
    seen = []
    original = PlainWork.part
    monkeypatch.setattr(PlainWork, "part", lambda *args: seen.append(args[2:4]) or original(*args))
    assess(PLAIN, HISTORY, scenarios=SCENARIOS, engine=small(0.3))
    assert len(seen) > 2
    assert seen[0][0] == 0
    assert seen[-1][1] == SCENARIOS
    assert all(before[1] == after[0] for before, after in pairwise(seen))


def test_a_device_that_has_no_memory_after_all_leaves_the_work_to_pieces(monkeypatch):
    """The device says no to whatever has more than a third of the scenarios, as another program holds its memory."""
    engine, original = ComputeEngine("cpu"), evaluation_module._drawn
    refused = []

    def drawn(task, engine, columns):
        if columns.stop - columns.start > SCENARIOS // 3:
            refused.append(columns)
            raise OutOfDeviceMemory("full")
        return original(task, engine, columns)

    whole = assess(PLAIN, HISTORY, scenarios=SCENARIOS, engine=ComputeEngine("cpu"))
    monkeypatch.setattr(evaluation_module, "_drawn", drawn)
    same(assess(PLAIN, HISTORY, scenarios=SCENARIOS, engine=engine), whole, 2e-5)
    assert len(refused) == 2


@pytest.mark.parametrize("cuts", [[1000], [1, 999], [300, 300, 400], [10] * 100])
def test_the_tail_of_parts_is_the_tail_of_all(cuts):
    rng = np.random.default_rng(1)
    losses, rows = torch.from_numpy(rng.normal(size=1000)), torch.from_numpy(rng.normal(size=(3, 1000)))
    parts = TailParts(60, 25)
    for some, columns in zip(losses.split(cuts), rows.split(cuts, dim=1), strict=True):
        parts.take(some, (columns,))
    worst, where = torch.topk(losses, 60)
    assert torch.equal(parts.losses, worst)
    assert torch.equal(parts.columns[0], rows[:, where])
    assert torch.equal(parts.sample, losses[:25])
