"""The checks of the pricing cases can fail; the cases themselves run in `test_bench`."""

import pytest

from nautilus_metal.bench import CASES
from nautilus_metal.bench.cases.pricing import Answer
from nautilus_metal.engine import ComputeEngine

STYLES = ("european", "asian", "american")


def problem(name, paths=100_000):
    with ComputeEngine("cpu") as engine:
        return CASES[name].prepare(engine, paths=paths)


@pytest.mark.parametrize("style", STYLES)
def test_a_price_too_far_away_is_found(style):
    case = CASES[f"price_{style}"]
    right, asked = Answer(10.0, 0.01, 0.6), problem(f"price_{style}")
    case.check(asked, right, Answer(10.02, 0.01, 0.61))
    for wrong in (Answer(10.2, 0.01, 0.6), Answer(10.0, 0.01, 0.65)):
        with pytest.raises(AssertionError):
            case.check(asked, right, wrong)


@pytest.mark.parametrize("style", STYLES)
def test_ours_must_have_the_smaller_error(style):
    case = CASES[f"price_{style}_to_error"]
    asked = problem(f"price_{style}_to_error")
    case.check(asked, Answer(10.0, 0.001), Answer(10.0, 0.01))
    with pytest.raises(AssertionError, match="the standard error is"):
        case.check(asked, Answer(10.0, 0.011), Answer(10.0, 0.01))
