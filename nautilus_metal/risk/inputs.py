"""What an assessment was made of: enough to make it again, as it was or with something changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nautilus_metal.risk.book import Book
from nautilus_metal.risk.evaluation import Task
from nautilus_metal.risk.models import build
from nautilus_metal.risk.option_task import OptionTask
from nautilus_metal.risk.request import Request, Scenarios
from nautilus_metal.risk.volatility_law import VolatilityLaw


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that the figures of an assessment follow from.

    Attributes
    ----------
    book : Book
        The positions.
    window : Tensor
        The return history, shape (instruments, periods), float64, in the order of `book.instruments`; of shape (0, 0)
        for an empty book.
    model : str
        The row of `nautilus_metal.risk.MODELS`.
    options : mapping
        The model's options.
    request : Request
        Horizon, scenarios, seed and sampler.
    levels : tuple of float
        Confidence levels.
    linear : bool
        Whether the P&L is linear in the log return.
    law : VolatilityLaw
        How implied volatilities move.
    years : float
        The horizon.
    dates : sequence or None
        Labels of the window's periods, where the history had an index.
    """

    book: Book
    window: Tensor
    model: str
    options: Mapping[str, Any]
    request: Request
    levels: tuple[float, ...]
    linear: bool
    law: VolatilityLaw
    years: float
    dates: Sequence[Any] | None = None

    def fitted(self) -> Scenarios:
        """Fit the model to the window."""
        return build(self.model, self.window, self.request, self.options)

    def task(self, fitted: Scenarios) -> Task | OptionTask:
        """Return what is evaluated, with the scenarios of a fitted model."""
        if len(self.book.option_index):
            return OptionTask(self.book, fitted, self.request, self.levels, self.law, self.window, self.years)
        return Task(self.book.exposures, fitted, self.request, self.levels, self.linear)
