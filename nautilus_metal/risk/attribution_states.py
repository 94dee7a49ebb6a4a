"""What lies between two assessments: a book, a window, a model and a stream, each as before or as after."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nautilus_metal.risk.book import Book, Position
from nautilus_metal.risk.evaluation import Task
from nautilus_metal.risk.inputs import Inputs
from nautilus_metal.risk.option_task import OptionTask, _moments
from nautilus_metal.risk.request import Scenarios

PARTS = ("positions", "volatility", "correlation", "model", "noise")

State = tuple[bool, ...]  # by `PARTS`: whether it is as after


class States:
    """Everything between two assessments.

    Parameters
    ----------
    before, after : Inputs
        What they were made of.
    """

    def __init__(self, before: Inputs, after: Inputs) -> None:
        self._ends = (before, after)
        self._fits: dict[tuple[Any, ...], Scenarios] = {}
        self.size = max(one.window.numel() + len(one.window) * one.request.scenarios for one in self._ends)

    @cached_property
    def changed(self) -> list[str]:
        """Which of `PARTS` are not the same before and after."""
        before, after = self._ends
        if not before.book.positions and not after.book.positions:
            return []
        every = tuple(dict.fromkeys((*before.book.instruments, *after.book.instruments)))
        window = torch.equal(self._window(False, every), self._window(True, every))
        same = {
            "positions": _plain(before.book) == _plain(after.book),
            "volatility": window and _smile(before) == _smile(after),
            "correlation": window,
            "model": _method(before) == _method(after),
            "noise": _stream(before) == _stream(after),
        }
        return [name for name in PARTS if not same[name]]

    def end(self, after: bool) -> State:
        """The state of everything as before, or as after."""
        return tuple(after and name in self.changed for name in PARTS)

    def stream(self, state: State, task: Task | OptionTask) -> tuple[Any, ...] | None:
        """What two states must have in common for their draws to be the same; None where nothing is drawn."""
        noisy = isinstance(task, OptionTask) and task.noisy
        if not task.scenarios.drawn and not noisy:
            return None
        request = self._ends[state[4]].request
        return request.seed, request.sampler, task.scenarios.count

    def task(self, state: State) -> Task | OptionTask | None:
        """Return what is evaluated in a state; None for an empty book."""
        positions, volatility, _, model, noise = state
        held, smile, method = self._ends[positions], self._ends[volatility], self._ends[model]
        if not held.book.positions:
            return None
        book = _with_volatilities(held.book, smile.book)
        if positions != noise:
            book = _among(book, self._ends[noise].book)
        made = Inputs(
            book=book,
            window=self._window(state[2], self._universe(state)),
            model=method.model,
            options=method.options,
            request=replace(self._ends[noise].request, horizon=method.request.horizon),
            levels=method.levels,
            linear=method.linear and not len(book.option_index),
            law=smile.law,
            years=method.years,
        )
        return made.task(self._fitted(state, made))

    def _universe(self, state: State) -> tuple[str, ...]:
        """Instruments in the order in which the stream of a state has them."""
        positions, noise = state[0], state[4]
        names = (*self._ends[noise].book.instruments, *self._ends[positions].book.instruments)
        return tuple(dict.fromkeys(names))

    def _fitted(self, state: State, made: Inputs) -> Scenarios:
        """Fit the model to the window of one end, at the volatilities that it sees in that of the other."""
        positions, volatility, correlation, model, noise = state
        own = self._fit((positions, correlation, model, noise), made)
        if volatility == correlation:
            return own
        window = self._window(volatility, made.book.instruments)
        other = self._fit((positions, volatility, model, noise), replace(made, window=window))
        rows = np.arange(len(own.shift))
        here, there = _moments(own, rows)[1], _moments(other, rows)[1]
        ratio = torch.from_numpy(np.divide(there, here, out=np.ones_like(here), where=here > 0))
        loading = own.loading * (ratio[:, None] if own.loading.dim() == 2 else ratio)
        return replace(own, loading=loading, shift=own.shift * ratio)

    def _fit(self, key: tuple[Any, ...], made: Inputs) -> Scenarios:
        if key not in self._fits:
            self._fits[key] = made.fitted()
        return self._fits[key]

    def _window(self, after: bool, universe: Sequence[str]) -> Tensor:
        """The returns of one end for all of these instruments; columns that it has not are the other end's."""
        own, other = self._ends[after], self._ends[not after]
        rows = {name: row for row, name in enumerate(own.book.instruments)}
        if all(name in rows for name in universe):
            return own.window[[rows[name] for name in universe]]
        elsewhere = {name: row for row, name in enumerate(other.book.instruments)}
        periods = own.window.shape[1] if rows else other.window.shape[1]
        columns = [
            own.window[rows[name]] if name in rows else _stretched(other.window[elsewhere[name]], periods)
            for name in universe
        ]
        return torch.stack(columns)


def _stretched(series: Tensor, periods: int) -> Tensor:
    """The last periods of a series; one that is too short starts over from its own end."""
    repeats = -(-periods // len(series))
    return series.repeat(repeats)[len(series) * repeats - periods :]


def _plain(book: Book) -> tuple[Any, ...]:
    """A book without its implied volatilities."""
    positions = tuple(
        p if p.option is None else replace(p, option=replace(p.option, volatility=0.0)) for p in book.positions
    )
    return positions, {p.currency: book.xrates.get(p.currency, 1.0) for p in book.positions}


def _smile(inputs: Inputs) -> tuple[Any, ...]:
    """Implied volatilities by option, and the law by which they move."""
    volatilities = [(p.instrument, p.option.volatility) for p in inputs.book.positions if p.option is not None]
    series = inputs.law.volatility_returns or {} if volatilities else {}
    law = inputs.law if volatilities else None
    return volatilities, law, {name: np.asarray(changes).tolist() for name, changes in series.items()}


def _method(inputs: Inputs) -> tuple[Any, ...]:
    revaluation = inputs.linear if not len(inputs.book.option_index) else None
    return inputs.model, dict(inputs.options), inputs.request.horizon, revaluation, inputs.years


def _stream(inputs: Inputs) -> tuple[Any, ...]:
    return replace(inputs.request, horizon=1), inputs.book.instruments


def _with_volatilities(book: Book, other: Book) -> Book:
    """A book with the implied volatilities that the other has for the same options."""
    known = {p.instrument: p.option.volatility for p in other.positions if p.option is not None}
    if not any(p.option is not None and known.get(p.instrument, p.option.volatility) != p.option.volatility
               for p in book.positions):  # fmt: skip
        return book
    positions = [
        p if p.option is None
        else replace(p, option=replace(p.option, volatility=known.get(p.instrument, p.option.volatility)))
        for p in book.positions
    ]  # fmt: skip
    return Book(positions, book.base_currency, book.xrates)


def _among(book: Book, other: Book) -> Book:
    """A book behind nothing of each instrument of the other, so that its scenarios are those of the other."""
    nothing = [Position(name, 0.0, 1.0, currency=book.base_currency) for name in other.instruments]
    return Book([*nothing, *book.positions], book.base_currency, book.xrates)
