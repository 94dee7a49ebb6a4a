"""Thousands of series side by side: one vectorised step per time stamp, histories and sweeps on the engine."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.host import Bar, log_warning
from nautilus_metal.indicators.batch import check_outputs, compute_histories
from nautilus_metal.indicators.kinds import KINDS, canonical, kind_of, parse, sweep_settings
from nautilus_metal.indicators.views import VIEWS, SeriesView
from nautilus_metal.kernels.parameters import finite, price_array, price_history


class IndicatorUniverse:
    """The same indicators over many instruments, in the standard convention.

    It is fed in one of two ways, or both: `update` takes a price per instrument; `update_bar`, or the views
    registered with a strategy, take bars one by one, which are collected and stepped together when the time stamp
    moves on, or when an output is read. A bar whose time stamp an instrument has already had is not counted twice.
    So reading an output always shows every price fed before; reading after the last bar of a time stamp costs one
    step for all, reading after every bar one step each.

    Parameters
    ----------
    instrument_ids : sequence of InstrumentId or str
        The instruments; their order is the order of prices and outputs.
    names : sequence of str
        Indicators such as "rsi(14)", "macd(12,26,9)" and "bollinger(20,2)".
    engine : ComputeEngine, optional
        For `compute` and `sweep`; without one they run where `engine.placement` puts them. Streaming state
        stays on the host.

    Attributes
    ----------
    instrument_ids : tuple of str
        The instruments.
    names : tuple of str
        The indicators, as `canonical` writes them.
    rejected : numpy.ndarray
        Infinite prices skipped, per instrument.

    Raises
    ------
    InputError
        If an instrument or an indicator appears twice, there is none, or a name cannot be read.
    """

    def __init__(
        self, instrument_ids: Iterable[Any], names: Sequence[str], engine: ComputeEngine | None = None
    ) -> None:
        self.instrument_ids = tuple(map(str, instrument_ids))
        self._rows = {name: row for row, name in enumerate(self.instrument_ids)}
        _check_distinct("instrument_ids", self.instrument_ids)
        self._settings = {canonical(*parsed): parsed for parsed in map(parse, names)}
        self.names = tuple(self._settings)
        _check_distinct("names", [canonical(*parse(name)) for name in names])
        self._engine = engine
        size = len(self.instrument_ids)
        self._states = {name: KINDS[kind].series(size, *given) for name, (kind, given) in self._settings.items()}
        self._all = np.arange(size)
        self._views: dict[tuple[str, str], SeriesView] = {}
        self._waiting: dict[int, list[SeriesView]] = {}  # views that are not initialized yet, by row
        self.rejected = np.zeros(size, np.int64)
        self._pending: dict[int, float] = {}  # prices of one time stamp that are not stepped yet, by row
        self._pending_ts = -1
        self._seen = np.full(size, -1, np.int64)  # time stamp of each instrument's newest bar
        self._ticks: dict[int, Any] = {}  # each instrument's newest tick

    def __len__(self) -> int:
        return len(self.instrument_ids)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} instruments, {', '.join(self.names)})"

    def update(self, prices: Any, ts: int | None = None) -> None:
        """Step every instrument that has a price.

        Parameters
        ----------
        prices : array_like
            Shape (instruments,), in the order of `instrument_ids`; NaN where an instrument has no price at this
            step, whose state then stays. Infinite prices are skipped, counted in `rejected` and logged once.
        ts : int, optional
            Time stamp in nanoseconds. A bar of this time stamp that comes, or came, through `update_bar` or a view
            is taken to be the same price.

        Raises
        ------
        InputError
            If `prices` is of another shape.
        """
        values = np.asarray(prices, dtype=np.float64)
        if values.shape != self._all.shape:
            raise InputError(f"`prices` must be of shape {self._all.shape}, was {values.shape}")
        self.flush()
        taken = np.isfinite(values)
        if not taken.all():
            self._count_rejected(np.isinf(values))
        if ts is not None:
            taken &= self._seen != ts
            self._seen[taken] = ts
        rows = np.flatnonzero(taken)
        self._step(values[rows], rows)
        self._follow(list(self._waiting))

    def update_bar(self, bar: Bar) -> None:
        """Take the close of one instrument's bar; it is stepped with the others of its time stamp.

        Raises
        ------
        InputError
            If the instrument is not of the universe.
        """
        self._feed_bar(self._row(bar.bar_type.instrument_id), bar)

    def flush(self) -> None:
        """Step the bars collected so far."""
        if self._pending:
            rows = np.fromiter(self._pending, np.int64, len(self._pending))
            prices = np.fromiter(self._pending.values(), np.float64, len(self._pending))
            self._pending.clear()
            self._step(prices, rows)

    def values(self, name: str) -> Any:
        """Return the outputs of an indicator for every instrument, NaN before the first value.

        Returns
        -------
        numpy.ndarray or NamedTuple
            RSI: shape (instruments,); MACD and Bollinger: a NamedTuple of such arrays.
        """
        self.flush()
        return self._states[self._name(name)].values(self._all)

    def initialized(self, name: str) -> NDArray[np.bool_]:
        """Return for every instrument whether the indicator has its first value."""
        self.flush()
        state = self._states[self._name(name)]
        return np.asarray(state.count >= state.needed)

    def view(self, instrument_id: Any, name: str) -> SeriesView:
        """Return the one Indicator that shows `name` for an instrument.

        It can be registered with a strategy or an actor. Its `handle_bar` feeds the universe; it does nothing for a
        bar that has been fed already, be it by another view, by `update_bar` or by `update` with its time stamp.
        """
        key = self.instrument_ids[self._row(instrument_id)], self._name(name)
        if key not in self._views:
            kind = self._settings[key[1]][0]
            self._views[key] = view = VIEWS[kind](self, *key, self._rows[key[0]], self._states[key[1]])
            self._waiting.setdefault(view.row, []).append(view)
            self._follow([view.row])
        return self._views[key]

    def warm_up(self, prices: Any) -> None:
        """Feed a history of shape (instruments, bars), oldest first; as `update` with every column."""
        for column in self._histories(price_history(prices)).T:
            self.update(column)

    def compute(self, prices: Any, out: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compute every indicator over histories of shape (instruments, bars) on the engine, by name.

        The streaming state is not touched; outputs are as those of the indicator's own `compute`.

        Parameters
        ----------
        prices : array_like
            Shape (instruments, bars), finite.
        out : dict, optional
            What an earlier call returned for as many bars; its arrays are written over and returned. Without it the
            memory of an earlier call serves again once nobody holds its arrays; new memory, whose pages have to be
            found and cleared, takes twice the time on the CPU.

        Raises
        ------
        InputError
            If a price is not finite, the shape is another one, or `out` does not have the names, fields, shapes and
            type of what would be returned.
        """
        history = self._histories(price_array(prices))
        if out is not None:
            check_outputs(out, self._settings, finite(history))  # before anything is written over
        return compute_histories(self._settings, history, out, self._engine)

    def sweep(self, kind: str, *, prices: Any, **parameters: Any) -> Any:
        """Compute one kind of indicator with many settings over the same histories, on the engine.

        Parameters
        ----------
        kind : {"rsi", "macd", "bollinger"}
            The indicator.
        prices : array_like
            Shape (bars,) or (series, bars), of any series, finite.
        **parameters
            Numbers or sequences of one length by name, singular or plural: ``periods=range(2, 201)``;
            ``fast=[8, 12], slow=[17, 26]``. What is left out takes its default.

        Returns
        -------
        numpy.ndarray or NamedTuple
            As from the indicator's `compute`, each array with a leading axis of settings.

        Raises
        ------
        InputError
            If the kind or a parameter is unknown or out of range, lengths differ, or a price is not finite.
        """
        row = kind_of(kind)
        return row.sweep(price_history(prices), sweep_settings(row, parameters), self._engine)

    def reset(self) -> None:
        """Forget all prices of all instruments, in the views too."""
        self._pending.clear()
        self._ticks.clear()
        self._seen[:] = -1
        self.rejected[:] = 0
        for state in self._states.values():
            state.reset(self._all)
        for view in self._views.values():
            view.reset()

    def _feed_bar(self, row: int, bar: Bar) -> None:
        """Take a bar of one instrument, unless it had one of that time stamp."""
        if self._seen[row] != bar.ts_event:
            self._seen[row] = bar.ts_event
            self._collect(row, bar.close.as_double(), bar.ts_event)

    def _feed_tick(self, row: int, tick: Any, price: float) -> None:
        """Take a tick of one instrument, unless it is the one just had; other ticks may share its time stamp."""
        if self._ticks.get(row) is not tick:
            self._ticks[row] = tick
            self._collect(row, price, tick.ts_event)

    def _collect(self, row: int, price: float, ts: int) -> None:
        if self._pending and (ts != self._pending_ts or row in self._pending):
            self.flush()
        self._pending_ts = ts
        self._pending[row] = price
        self._follow([row])

    def _step(self, prices: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        for state in self._states.values():
            state.update(prices, rows)

    def _follow(self, rows: Iterable[int]) -> None:
        """Let the views of some instruments tell the host how far they are, until they are initialized."""
        for row in rows if self._waiting else ():
            waiting = [view for view in self._waiting.pop(row, ()) if not view.follow()]
            if waiting:
                self._waiting[row] = waiting

    def _counted(self, row: int, state: Any) -> int:
        """Return how many prices an indicator of an instrument has had, the collected ones included."""
        return int(state.count[row]) + (row in self._pending)

    def _forget(self, view: SeriesView, state: Any) -> None:
        """Clear one indicator of one instrument; the view starts again."""
        self.flush()
        state.reset(np.array([view.row]))
        waiting = self._waiting.setdefault(view.row, [])
        if view not in waiting:
            waiting.append(view)

    def _count_rejected(self, infinite: NDArray[np.bool_]) -> None:
        if infinite.any() and not self.rejected.any():
            log_warning(type(self).__name__, f"{self!r} skips infinite prices, counted in `rejected`")
        self.rejected += infinite

    def _histories(self, history: NDArray[np.float64]) -> NDArray[np.float64]:
        if history.ndim != 2 or len(history) != len(self):
            raise InputError(f"`prices` must be of shape ({len(self)}, bars), was {history.shape}")
        return history

    def _row(self, instrument_id: Any) -> int:
        if str(instrument_id) not in self._rows:
            raise InputError(f"`instrument_id` must be one of the universe's {len(self)}, was {instrument_id!r}")
        return self._rows[str(instrument_id)]

    def _name(self, name: Any) -> str:
        known = canonical(*parse(name))
        if known not in self._settings:
            raise InputError(f"`name` must be one of {', '.join(self.names)}, was {name!r}")
        return known


def _check_distinct(argument: str, names: Sequence[str]) -> None:
    if not names:
        raise InputError(f"`{argument}` must hold at least one, was empty")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"`{argument}` must differ, {twice!r} came twice")
