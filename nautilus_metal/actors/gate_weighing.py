"""Orders on the scales: what the figures would be with them, and how much of one the limits bear."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from nautilus_metal.actors.gate_book import asked_for, cases, reducing_part, whole_lots, worth
from nautilus_metal.host import OrderIntent
from nautilus_metal.risk.limits import MEASURES
from nautilus_metal.risk.what_if import WhatIf

ByMeasure = Mapping[str, Mapping[float, float]]

_NAMES = {"var": "VaR", "es": "ES"}
_SAME = 1e-9  # of a figure: by less than that nothing rises


class Excess(NamedTuple):
    """A figure that would be over its limit."""

    measure: str
    level: float
    limit: float
    value: float
    currency: str

    def __str__(self) -> str:
        name = figure_name(self.measure, self.level)
        return f"{name} would be {self.value:,.0f} {self.currency}, limit {self.limit:,.0f}"


@dataclass(frozen=True)
class Weighing:
    """Orders against a book.

    Attributes
    ----------
    asks : WhatIf
        The scenarios.
    held : mapping of str to float
        Signed quantities by instrument.
    working : sequence of OrderIntent
        Orders that may fill already.
    intents : sequence of OrderIntent
        Those that are weighed.
    limits : mapping
        By measure, by level.
    """

    asks: WhatIf
    held: Mapping[str, float]
    working: Sequence[OrderIntent]
    intents: Sequence[OrderIntent]
    limits: ByMeasure

    @cached_property
    def excess(self) -> Excess | None:
        """The figure that would be furthest over its limit, in the worst case; None where all hold."""
        return self._worst(self._after)

    @cached_property
    def rise(self) -> str | None:
        """Say which figure the orders raise; None where they raise none."""
        for book, after in zip(self._books, self._after, strict=True):
            before = book.figures({})
            for measure in MEASURES:
                for level, value in after[measure].items():
                    was = before[measure][level]
                    if value > was + _SAME * abs(was):
                        return f"{figure_name(measure, level)} would rise from {was:,.0f} to {value:,.0f}"
        return None

    def largest(self, lot: float) -> float | None:
        """The largest part of a single order, unsigned and in whole lots, that passes; None for several orders.

        It keeps all limits, or only reduces a position.
        """
        if len(self.intents) != 1:
            return None
        (order,) = self.intents
        name, quantity = order.instrument, order.quantity * self._price
        part = min(abs(book.largest(name, quantity, self.limits)) for book in self._books)
        part = whole_lots(part / self._price, lot)
        kept = {name: math.copysign(part * self._price, quantity)}
        if self._worst([book.figures(kept) for book in self._books]) is not None:
            part = 0.0
        return max(part, whole_lots(reducing_part(order, self.held.get(name, 0.0), self.working), lot))

    @cached_property
    def _price(self) -> float:
        return max(worth(one, self.held.get(one.instrument, 0.0), self._last(one)) for one in self.intents)

    def _last(self, intent: OrderIntent) -> float | None:
        return self.asks.prices.get(intent.instrument)

    @cached_property
    def _books(self) -> list[WhatIf]:
        """What the book is without the orders, in each case."""
        known = self.asks.quantities
        return [self.asks.changed(case) for case in cases(self.held, known, self.working, self.intents)]

    @cached_property
    def _after(self) -> list[dict[str, dict[float, float]]]:
        more = {name: change * self._price for name, change in asked_for(self.intents).items()}
        return [book.figures(more) for book in self._books]

    def _worst(self, figures: Sequence[ByMeasure]) -> Excess | None:
        found = [
            Excess(measure, level, limit, case[measure][level], self.asks.base_currency)
            for case in figures
            for measure, row in self.limits.items()
            for level, limit in row.items()
        ]
        over = [one for one in found if one.value > one.limit * (1 + _SAME)]
        return max(over, key=lambda one: one.value / one.limit, default=None)


def figure_name(measure: str, level: float) -> str:
    """Write a figure as a reader says it.

    >>> figure_name("var", 0.99), figure_name("es", 0.975)
    ('99% VaR', '97.5% ES')
    """
    return f"{100 * level:.6g}% {_NAMES[measure]}"
