"""Normals come from the pool: a second tick draws nothing, and a growing book finds them too."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import DeviceError, OutOfDeviceMemory
from nautilus_metal.risk import assess, evaluation, filtered, option_tables
from nautilus_metal.risk import draws as drawing
from tests.risk.cases import EVERY_MODEL, figures, history, random_book
from tests.risk.option_cases import mixed_book


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Every call that makes random numbers, with the caches of earlier tests emptied."""
    calls: list[tuple] = []

    def counted(function: Callable) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            calls.append(args)
            return function(*args, **kwargs)

        return call

    for module in (drawing, filtered):
        for name in ("uniforms", "standard_normals", "sobol_normals_into"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, counted(getattr(module, name)))
    for cache in (drawing._sample_normals, drawing._sample_mixing, filtered._dates):
        cache.cache_clear()
    return calls


@pytest.mark.parametrize("options", EVERY_MODEL.values(), ids=EVERY_MODEL)
def test_a_second_tick_draws_nothing(engine: ComputeEngine, draws: list[tuple], options: dict) -> None:
    window = history(6, 600)
    first = assess(random_book(6, 0), window[:500], engine=engine, **options)
    assert bool(draws) == (first.sampler != "empirical")
    keyed = engine.pool.stats()
    draws.clear()
    for tick in range(1, 4):
        assess(random_book(6, tick), window[tick : 500 + tick], engine=engine, **options).incremental_var  # noqa: B018
    assert draws == []
    now = engine.pool.stats()
    if keyed.cached_blocks:
        assert now.cache_hit_rate > 0.7
        assert now.cached_blocks == keyed.cached_blocks


def test_a_growing_book_draws_nothing_until_a_block_is_full(engine: ComputeEngine, draws: list[tuple]) -> None:
    assess(random_book(2, 0), history(2), engine=engine)
    draws.clear()
    assess(random_book(31, 0), history(31), engine=engine)
    assert draws == []
    assess(random_book(32, 0), history(32), engine=engine)
    assert draws


def test_models_and_estimators_share_the_normals(engine: ComputeEngine, draws: list[tuple]) -> None:
    book, window = random_book(4, 0), history(4)
    assess(book, window, engine=engine)
    draws.clear()
    assess(book, window, covariance="ewma", horizon=5, engine=engine)
    assess(book, window, revaluation="full", engine=engine)
    assert draws == []


def test_settings_do_not_find_each_others_numbers() -> None:
    """One engine for all of them gives what an engine of its own gives to each."""
    book, window = random_book(4, 0), history(4)
    settings = [
        {"model": model, "sampler": sampler, "seed": seed, "scenarios": scenarios, **options}
        for model, options in (("normal", {}), ("student_t", {"degrees": 3}), ("student_t", {"degrees": 9}))
        for sampler in ("pseudo", "sobol")
        for seed in (0, 1)
        for scenarios in (1000, 2000)
    ]
    with ComputeEngine("cpu") as shared:
        together = [figures(assess(book, window, engine=shared, **one)) for one in settings]
    for found, one in zip(together, settings, strict=True):
        with ComputeEngine("cpu") as own:
            np.testing.assert_array_equal(found, figures(assess(book, window, engine=own, **one)))
    assert len({tuple(found) for found in together}) == len(settings)


@pytest.mark.parametrize("sampler", ["pseudo", "sobol"])
def test_normals_filled_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch, sampler: str) -> None:
    book, window = random_book(5, 0), history(5)
    found = []
    for piece in (2**22, 5000, 1):
        monkeypatch.setattr(drawing, "_FILL", piece)
        with ComputeEngine("cpu") as engine:
            found.append(figures(assess(book, window, scenarios=1000, sampler=sampler, engine=engine)))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_cleared_pool_gives_the_same_figures(engine: ComputeEngine) -> None:
    book, window = random_book(5, 0), history(5)
    before = figures(assess(book, window, "student_t", engine=engine))
    engine.pool.clear()
    engine.pool.trim()
    np.testing.assert_array_equal(figures(assess(book, window, "student_t", engine=engine)), before)


def test_threads_do_not_disturb_each_other(engine: ComputeEngine) -> None:
    window = history(6)
    jobs = [(random_book(6, number), options) for number in range(4) for options in EVERY_MODEL.values()]
    alone = [figures(assess(book, window, engine=engine, **options)) for book, options in jobs]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda job: figures(assess(job[0], window, engine=engine, **job[1])), jobs))
    np.testing.assert_allclose(together, alone, rtol=1e-6)  # a sum's order may depend on the number of threads


def test_nothing_stays_borrowed(engine: ComputeEngine) -> None:
    for options in EVERY_MODEL.values():
        assess(random_book(6, 0), history(), engine=engine, **options)
    assert engine.pool.stats().active_blocks == 0


def test_more_scenarios_than_memory_is_an_error_and_leaves_the_engine_usable() -> None:
    with ComputeEngine("cpu", memory_fraction=0.002) as engine:
        with pytest.raises(OutOfDeviceMemory):
            assess(random_book(6, 0), history(), scenarios=2_000_000_000, engine=engine)
        assert engine.pool.stats().active_blocks == 0
        assert assess(random_book(6, 0), history(), scenarios=1000, engine=engine).var[0.99] > 0


def test_a_closed_engine_is_refused() -> None:
    engine = ComputeEngine("cpu")
    risk = assess(random_book(6, 0), history(), engine=engine)
    engine.close()
    with pytest.raises(DeviceError, match="closed"):
        assess(random_book(6, 0), history(), engine=engine)
    with pytest.raises(DeviceError, match="closed"):
        risk.incremental_var  # noqa: B018


@pytest.mark.parametrize("options", [False, True])
def test_the_weights_of_a_large_tail_stay_on_the_device(
    engine: ComputeEngine, monkeypatch: pytest.MonkeyPatch, options: bool
) -> None:
    """The figures are those of the CPU, where the weights are not kept, and a second tick moves no table."""
    book = mixed_book() if options else random_book(3, 0)
    window, settings = history(len(book.instruments)), {"levels": (0.8, 0.95), "scenarios": 40_000}
    moved = []
    whole = drawing.upload

    def counted(where: ComputeEngine, parts: list) -> list:
        moved.append(sum(part.numel() for part in parts))
        return whole(where, parts)

    for module in (evaluation, option_tables):
        monkeypatch.setattr(module, "upload", counted)
    with ComputeEngine("cpu") as cpu:
        expected = figures(assess(book, window, engine=cpu, **settings))
    on_host = moved.pop()
    for _ in range(2):
        found = assess(book, window, engine=engine, **settings)
        np.testing.assert_allclose(figures(found), expected, rtol=2e-4)
    assert moved[0] == moved[1]
    assert (moved[0] < on_host - 2**14) == (engine.device.type != "cpu")
