"""The study: figures are the assessments', know no later day, and their verdicts are those of the tests."""

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.garch import garch_variance
from nautilus_metal.risk import Book, assess
from nautilus_metal.risk.garch import garch_fits
from nautilus_metal.risk.study import CANDIDATES, Stated, plan_study, state_all
from nautilus_metal.risk.study_table import verdicts
from nautilus_metal.risk.validation import kupiec

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = {"window": 120, "refit": 20, "scenarios": 1_000, "levels": (0.95, 0.975)}
WEIGHTS = [0.5, -0.2, 0.7]


def history(days: int = 170) -> np.ndarray:
    rng = np.random.default_rng(6)
    return 0.008 * (rng.standard_t(5, size=(days, 1)) + rng.standard_t(5, size=(days, 3)))


@pytest.fixture(scope="module")
def stated(one_thread: None) -> list[Stated]:
    return state_all(plan_study(history(), WEIGHTS, **SETTINGS), workers=1)


def test_figures_are_those_of_an_assessment_on_the_days_before(stated: list[Stated]) -> None:
    returns = history()
    book = Book.linear(quantities=WEIGHTS, prices=[1.0, 1.0, 1.0])
    assert [one.name for one in stated] == list(CANDIDATES)
    for one in stated:
        row = CANDIDATES[one.name]
        for place in (0, 20, 37):
            if place == 37 and row.refit != "daily":
                continue
            past = returns[place : place + 120]
            risk = assess(
                book, past, row.model, (0.95, 0.975), scenarios=1_000, engine=ComputeEngine("cpu"), **row.options
            )
            assert one.var[place] == pytest.approx(list(risk.var.values()), rel=1e-5)
            assert one.es[place] == pytest.approx(list(risk.es.values()), rel=1e-5)


def test_no_figure_knows_its_own_day_or_a_later_one(stated: list[Stated]) -> None:
    changed = history()
    changed[150:] *= 5.0
    for one, other in zip(stated, state_all(plan_study(changed, WEIGHTS, **SETTINGS), workers=1), strict=True):
        known = 150 - 120 + 1  # the figure of the day that changed was stated before it
        assert np.array_equal(one.var[:known], other.var[:known])
        assert np.array_equal(one.es[:known], other.es[:known])
        assert not np.array_equal(one.var[known:], other.var[known:])


def test_volatility_is_of_every_day_though_coefficients_are_not(stated: list[Stated]) -> None:
    found = {one.name: one.var[:, 0] for one in stated}
    assert (np.diff(found["garch_t"]) != 0).all()
    assert set(np.flatnonzero(np.diff(found["t_copula"])) + 1) == {20, 40}


def test_the_volatility_of_a_day_goes_on_from_the_refits_window(stated: list[Stated]) -> None:
    returns = torch.from_numpy(history())
    fits = garch_fits(returns[20:140].T[None].contiguous(), False, "empirical")[0]
    variance = garch_variance(returns[20:157].T.contiguous(), fits.parameters, fits.start)
    shocks = returns[37:157].T / variance[:, 17:-1].sqrt()
    losses = -torch.tensor(WEIGHTS, dtype=torch.float64) @ torch.expm1(shocks * variance[:, -1:].sqrt())
    worst = losses.sort(descending=True).values[:6]
    (found,) = (one.es[37, 0] for one in stated if one.name == "garch_empirical")
    assert found == pytest.approx(float(worst.mean()), rel=1e-5)


@pytest.mark.slow
def test_workers_change_nothing() -> None:
    plan, names = plan_study(history(), WEIGHTS, **SETTINGS), ("normal", "garch_normal", "garch_empirical")
    told: list[str] = []
    alone, shared = state_all(plan, names, 1), state_all(plan, names, 2, told.append)
    assert sorted(told) == sorted(names)
    for one, other in zip(alone, shared, strict=True):
        assert np.array_equal(one.var, other.var)
        assert np.array_equal(one.shape, other.shape)


def test_a_row_says_what_the_tests_say() -> None:
    rng = np.random.default_rng(3)
    plan = plan_study(0.01 * rng.normal(size=(620, 2)), **SETTINGS | {"levels": (0.95,)})
    stated = state_all(plan, ("normal", "historical"), workers=1)
    low = type(stated[0])("historical", 0.5 * stated[0].var, 0.5 * stated[0].es, stated[0].shape)
    right, wrong = verdicts(plan, [stated[0], low], 1)
    assert (right.days, right.expected) == (500, pytest.approx(25.0))
    assert right.exceptions == int((-plan.pnl > stated[0].var[:, 0]).sum())
    assert right.kupiec_p == kupiec(right.exceptions, 500, 0.95).p_value
    assert (right.rank, wrong.rank, right.behind_p) == (1, 2, None)
    assert wrong.behind_p < 1e-6
    assert not right.failed
    assert {"kupiec", "coverage", "shortfall", "bias", "basel", "e_process"} <= set(wrong.failed)
    assert wrong.wealth > 20 > right.wealth >= 1.0


BAD = {
    "shape": ({"returns": np.zeros(200)}, "`returns` must be finite and of shape \\(days, instruments\\)"),
    "nan": ({"returns": np.full((200, 2), np.nan)}, "`returns` must be finite"),
    "few": ({"returns": np.zeros((150, 3))}, "`returns` must hold at least 170 days, 50 after the first window"),
    "weights": ({"weights": [1.0]}, "`weights` must be 3 finite numbers, not all 0"),
    "nothing": ({"weights": [0.0, 0.0, 0.0]}, "`weights` must be 3 finite numbers, not all 0"),
    "window": ({"window": 10}, "`window` must be a whole number of at least 50 days, was 10"),
    "refit": ({"refit": 0}, "`refit` must be a whole number of at least 1 days, was 0"),
    "level": ({"levels": (0.999,)}, "`levels`: 0.999 needs at least 1000 scenarios, there are 120"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name: str) -> None:
    changes, message = BAD[name]
    with pytest.raises(InputError, match=message):
        plan_study(**{"returns": history(), **SETTINGS} | changes)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(InputError, match=r"`models` must be of normal, student_t, .* was 'garch'"):
        state_all(plan_study(history(), **SETTINGS), ("garch",), 1)
