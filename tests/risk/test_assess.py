"""What holds for every assessment: scaling, symmetry, reproducibility, precision, edges."""

import pkgutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.kernels.scenarios import ScenarioSet
from nautilus_metal.risk import Book, Position, assess
from nautilus_metal.risk.models import scenario_count
from nautilus_metal.risk.request import Request
from tests.risk.cases import EVERY_MODEL, MODELS, crowded_book, figures, history, random_book, split
from tests.risk.option_cases import mixed_book

every_model = pytest.mark.parametrize("options", EVERY_MODEL.values(), ids=EVERY_MODEL)

@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(EVERY_MODEL)), exponent=st.integers(-60, 60), seed=st.integers(0, 50))
def test_powers_of_two_scale_exactly(name: str, exponent: int, seed: int) -> None:
    book, window = random_book(5, seed), history(5, 200)
    scaled = Book.linear(quantities=book.values * 2.0**exponent, prices=np.ones(5))
    with ComputeEngine("cpu") as engine:
        one = assess(book, window, levels=(0.95,), scenarios=500, engine=engine, **EVERY_MODEL[name])
        other = assess(scaled, window, levels=(0.95,), scenarios=500, engine=engine, **EVERY_MODEL[name])
    np.testing.assert_array_equal(figures(other), figures(one) * 2.0**exponent)
    np.testing.assert_array_equal(split(other), split(one) * 2.0**exponent)
    assert other.drift == one.drift


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e12, 1e30])
@every_model
def test_books_of_any_size_fit_float32(engine: ComputeEngine, options: dict, size: float) -> None:
    book, window = random_book(5, 1), history(5)
    scaled = Book.linear(quantities=book.values * size, prices=np.ones(5))
    small, large = (assess(one, window, engine=engine, **options) for one in (book, scaled))
    np.testing.assert_allclose(figures(large), figures(small) * size, rtol=2e-5)


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(EVERY_MODEL)), seed=st.integers(0, 50), where=st.integers(0, 3))
def test_a_position_of_no_quantity_changes_nothing(name: str, seed: int, where: int) -> None:
    book, window = random_book(4, seed), history(4, 200)
    positions = list(book.positions)
    positions.append(Position(book.instruments[where], 0.0, 50.0))
    with ComputeEngine("cpu") as engine:
        before = assess(book, window, levels=(0.95,), scenarios=500, engine=engine, **EVERY_MODEL[name])
        after = assess(Book(positions), window, levels=(0.95,), scenarios=500, engine=engine, **EVERY_MODEL[name])
    np.testing.assert_array_equal(figures(after), figures(before))
    assert after.component_var[0.95][-1] == 0.0


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(5)),
    seed=st.integers(0, 50),
    model=st.sampled_from(["historical", "filtered_historical"]),
)
def test_the_order_of_assets_does_not_matter_to_history(order: list[int], seed: int, model: str) -> None:
    book, window = random_book(5, seed), history(5, 300)
    turned = Book([book.positions[i] for i in order])
    with ComputeEngine("cpu", "float64") as engine:
        one = assess(book, window, model, engine=engine)
        other = assess(turned, window[:, order], model, engine=engine)
    np.testing.assert_allclose(figures(other), figures(one), rtol=1e-10)
    np.testing.assert_allclose(split(other), split(one)[:, order], rtol=1e-6, atol=1e-10 * one.var[0.95])


@pytest.mark.parametrize("model", ["normal", "student_t"])
def test_the_order_of_assets_is_noise_to_a_simulation(model: str) -> None:
    book, window, order = random_book(5, 1), history(5), [3, 1, 4, 0, 2]
    turned = Book([book.positions[i] for i in order])
    with ComputeEngine("cpu") as engine:
        one = assess(book, window, model, engine=engine)
        other = assess(turned, window[:, order], model, engine=engine)
    for level in one.levels:
        assert abs(one.var[level] - other.var[level]) < 4 * one.var_se[level]
        assert abs(one.es[level] - other.es[level]) < 4 * one.es_se[level]


@every_model
def test_the_same_seed_gives_the_same_figures(engine: ComputeEngine, options: dict) -> None:
    book, window = random_book(6, 0), history()
    first, second = (assess(book, window, engine=engine, seed=5, **options) for _ in range(2))
    np.testing.assert_array_equal(figures(first), figures(second))
    np.testing.assert_array_equal(split(first), split(second))
    with ComputeEngine(engine.device) as fresh:
        np.testing.assert_array_equal(figures(assess(book, window, engine=fresh, seed=5, **options)), figures(first))
    other = assess(book, window, engine=engine, seed=6, **options)
    if first.sampler == "empirical":
        np.testing.assert_array_equal(figures(other), figures(first))
    else:
        assert (figures(other)[:2] != figures(first)[:2]).all()
        np.testing.assert_allclose(figures(other)[:4], figures(first)[:4], rtol=0.15)


@every_model
def test_every_device_agrees_with_float64(engine: ComputeEngine, options: dict) -> None:
    """1e-5 of the figure: float32 rounding of sums over a handful of assets, on the same scenarios."""
    book, window = random_book(6, 2), history()
    found = assess(book, window, engine=engine, **options)
    with ComputeEngine("cpu", "float64") as exact:
        expected = assess(book, window, engine=exact, **options)
    assert (found.precision, expected.precision) == ("float32", "float64")
    np.testing.assert_allclose(figures(found)[:4], figures(expected)[:4], rtol=1e-5)
    np.testing.assert_allclose(figures(found), figures(expected), rtol=1e-4)
    np.testing.assert_allclose(split(found), split(expected), rtol=1e-3, atol=1e-4 * expected.var[0.95])
    assert 0 < found.drift < 1e-5
    assert expected.drift < 1e-13
    assert found.device == str(engine.device)


def test_drift_shows_a_device_that_computes_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_metal.risk import evaluation

    original = evaluation._losses
    monkeypatch.setattr(evaluation, "_losses", lambda *args: original(*args) * 1.001)
    with ComputeEngine("cpu") as engine:
        for model in MODELS:
            risk = assess(random_book(6, 0), history(), model, engine=engine)
            assert 0.001 < risk.drift < 0.01


@every_model
def test_short_and_long_are_mirrors_where_pnl_is_linear_in_a_symmetric_law(options: dict) -> None:
    """A sign that is flipped somewhere would show in a skewed history."""
    window = history(1)
    window[:, 0] = np.abs(window[:, 0]) - 0.001  # rises only, but for a hair
    with ComputeEngine("cpu") as engine:
        long, short = (
            assess(Book.linear(quantities=[q], prices=[1]), window, engine=engine, **options) for q in (1, -1)
        )
    if long.model in ("historical", "filtered_historical"):
        assert long.var[0.99] < 0.25 * short.var[0.99]
    elif long.model_details["mean"] == "sample":
        assert long.var[0.99] < short.var[0.99]
    elif long.model_details["revaluation"] == "linear":
        assert long.var[0.99] == pytest.approx(short.var[0.99], rel=0.1)


@pytest.mark.parametrize(("model", "pieces"), [("normal", (6 * 997, 6 * 9_999)), ("historical", (1, 6 * 7))])
def test_full_revaluation_in_pieces_equals_one_piece(
    engine: ComputeEngine, monkeypatch: pytest.MonkeyPatch, model: str, pieces: tuple[int, ...]
) -> None:
    from nautilus_metal.risk import evaluation

    book, window = random_book(6, 0), history()
    whole = figures(assess(book, window, model, engine=engine, revaluation="full"))
    original = evaluation.full_losses
    buffers: list[int] = []

    def watched(exposures: torch.Tensor, scenarios: ScenarioSet, buffer: torch.Tensor) -> torch.Tensor:
        buffers.append(buffer.numel() if buffer.dtype == engine.dtype else 0)
        return original(exposures, scenarios, buffer)

    monkeypatch.setattr(evaluation, "full_losses", watched)
    for piece in pieces:
        monkeypatch.setattr(evaluation, "_PIECE", piece)
        cut = figures(assess(book, window, model, engine=engine, revaluation="full"))
        np.testing.assert_allclose(cut, whole, rtol=1e-6)
        assert 0 < max(buffers) <= max(piece, 6)
        buffers.clear()


def test_horizon_grows_with_the_square_root_of_time_where_periods_are_independent() -> None:
    book, window = random_book(5, 0), history(5)
    with ComputeEngine("cpu") as engine:
        for model in ("normal", "student_t"):
            one = assess(book, window, model, engine=engine)
            four = assess(book, window, model, horizon=4, engine=engine)
            np.testing.assert_allclose(figures(four), 2 * figures(one), rtol=1e-5)
        drifting = [assess(book, window, horizon=h, mean="sample", engine=engine).var[0.5 + 0.45] for h in (1, 4)]
    profit = book.exposures @ window.mean(axis=0)
    assert drifting[1] + 4 * profit == pytest.approx(2 * (drifting[0] + profit), rel=1e-5)


def test_a_report_tells_what_made_it(engine: ComputeEngine) -> None:
    book = crowded_book()
    risk = assess(book, history(3), "student_t", (0.975,), 2, 3000, 4, engine, sampler="sobol", degrees=5)
    assert (risk.model, risk.sampler, risk.seed, risk.scenarios, risk.horizon) == ("student_t", "sobol", 4, 3000, 2)
    assert risk.levels == (0.975,)
    assert risk.value == book.value
    assert risk.model_details == {
        "covariance": "sample",
        "mean": "zero",
        "degrees": 5.0,
        "revaluation": "linear",
    }
    assert risk.milliseconds > 0
    ewma = assess(book, history(3), covariance="ewma", engine=engine)
    assert ewma.model_details["decay"] == 0.94


@every_model
def test_scenario_counts_are_known_beforehand(options: dict) -> None:
    book, window = random_book(6, 0), history(6, 300)
    with ComputeEngine("cpu") as engine:
        risk = assess(book, window, scenarios=1234, engine=engine, **options)
    request = Request(risk.horizon, 1234, 0, "pseudo")
    assert risk.scenarios == scenario_count(risk.model, 300, request)


@pytest.mark.parametrize("options", [False, True])
def test_small_work_on_the_host_stays_on_one_thread_however_many_scenarios(options, monkeypatch) -> None:
    book = mixed_book() if options else random_book(3, 0)
    seen: dict[str, set[int]] = {"fit": set(), "scenarios": set(), "errors": set()}

    def noting(name, function):
        return lambda *args: seen[name].add(torch.get_num_threads()) or function(*args)

    where = "risk.option_evaluation" if options else "risk.evaluation"
    places = {"fit": "kernels.covariance.factor", "scenarios": f"{where}.largest"}
    places["errors"] = f"{where}.jackknife_error"
    for name, place in places.items():
        target = f"nautilus_metal.{place}"
        monkeypatch.setattr(target, noting(name, pkgutil.resolve_name(target)))
    monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", 10_000)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ComputeEngine("cpu") as engine:
            assess(book, history(len(book.instruments), 100), scenarios=5_000, engine=engine)
    finally:
        torch.set_num_threads(before)
    assert seen == {"fit": {1}, "scenarios": {2}, "errors": {1}}
