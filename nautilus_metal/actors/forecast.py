"""The ForecastActor: one inference for all instruments whose bars close together, published as a `Forecast`."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nautilus_metal.actors.engine import MetalEngine
from nautilus_metal.actors.forecast_config import ForecastActorConfig, load_model
from nautilus_metal.actors.forecast_windows import BarWindows
from nautilus_metal.actors.one_at_a_time import OneAtATime
from nautilus_metal.actors.saved_state import Envelope
from nautilus_metal.actors.stateful import StatefulActor
from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.errors import InputError
from nautilus_metal.host import Bar, BarType, bar_interval_ns, publish, request_history
from nautilus_metal.messages import Forecast
from nautilus_metal.models.features import Array

__all__ = ["ForecastActor", "ForecastActorConfig"]

_ENVELOPE = Envelope("ForecastActor", b"NMFA", 1)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What one inference is made from: n instruments."""

    names: list[str]
    windows: Array  # (n, length, columns)
    scale: Array  # (n,)
    prices: list[float]
    closed_at: dict[str, int]  # those that are uncovered too
    uncovered: dict[str, str]


@dataclass(frozen=True, eq=False)
class _Figures:
    """What came of it."""

    values: Array
    device: str
    milliseconds: float


class ForecastActor(StatefulActor):
    """Publishes a `Forecast` for each time stamp at which bars close, from one inference for all their instruments.

    The model comes from a checkpoint with its scaler. It is not asked about bars that it was trained on: those, as
    instruments with too few bars or without a positive price, are listed in `uncovered` with the reason.

    The windows are saved and loaded with the node's other state, or with `state_path`: history is then asked for only
    where bars are missing. A state that is damaged, or of other bars, is refused with a warning.

    In a live system the inference runs beside the event loop, one at a time: bars that close meanwhile are in the
    next one. Where the device fails, the CPU does it.

    Parameters
    ----------
    config : ForecastActorConfig
        The settings.

    Raises
    ------
    InputError
        If a setting is wrong, or the checkpoint cannot be used.
    """

    state_key = "nautilus_metal.ForecastActor"

    def __init__(self, config: ForecastActorConfig) -> None:
        self.model = load_model(config)
        super().__init__(config)
        self.last_forecast: Forecast | None = None
        self._windows = BarWindows(self.model.recipe.needed, self.model.recipe.window)
        self._closed: dict[str, int] = {}  # bars since the last inference
        self._line = OneAtATime(self, self._begin)

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, and find or make the system's engine."""
        super().register_base(portfolio, msgbus, cache, clock)
        self.engine = MetalEngine.of(self)

    def on_start(self) -> None:
        """Take the state that was kept, subscribe to the bars, and ask for the history that is missing."""
        self._recall()
        for bar_type in self.config.bar_types:
            self.subscribe_bars(bar_type)
            if self.config.warm_up and self._lacks(bar_type):
                request_history(self, bar_type, self.model.recipe.needed)

    def on_bar(self, bar: Bar) -> None:
        """Take a bar, and ask for a forecast after all bars of its time stamp."""
        self._windows.take(bar)
        self._closed[str(bar.bar_type.instrument_id)] = bar.ts_event
        self._line.request()

    def on_historical_data(self, data: Any) -> None:
        """Take a requested bar into its window."""
        if isinstance(data, Bar):
            self._windows.take(data)

    def on_stop(self) -> None:
        """Forecast at the last time stamp where a backtest ended on it; live, give up what is in flight."""
        if self._line.stop():
            self._begin(0)
        self._keep()

    def on_reset(self) -> None:
        """Forget every bar."""
        self._windows.reset()
        self._line.reset()
        self._closed.clear()
        self.last_forecast = None

    def _lacks(self, bar_type: BarType) -> bool:
        """Whether a window is not full, or bars have closed since its last one."""
        name, interval = str(bar_type.instrument_id), bar_interval_ns(bar_type) or 0
        last = self._windows.closed_at(name) if self._windows.full(name) else 0
        return self.clock.timestamp_ns() - last >= interval

    def _specifications(self) -> dict[str, str]:
        return {str(bar_type.instrument_id): str(bar_type.spec) for bar_type in self.config.bar_types}

    def _packed(self) -> bytes:
        return _ENVELOPE.pack(self._windows.state(), {"bars": self._specifications()})

    def _restore(self, data: bytes) -> None:
        arrays, memory = _ENVELOPE.unpack(data)
        wanted, saved = self._specifications(), memory["bars"]
        for name in sorted(wanted.keys() & saved.keys()):
            if wanted[name] != saved[name]:
                raise InputError(f"`state` must be of {wanted[name]} bars for {name}, was of {saved[name]}")
        self._windows.restore(arrays, wanted)

    def _begin(self, _skipped: int) -> None:
        inputs = self._take()
        if not inputs.names:
            self._send(inputs, None)
            self._line.ended()
            return
        work, done = partial(self._infer, inputs), partial(self._send, inputs)
        self._line.submit(work, done, "recurrent", self.model.elements(len(inputs.names)))

    def _take(self) -> _Inputs:
        closed, self._closed = self._closed, {}
        problems = {name: self._problem(name, at) for name, at in closed.items()}
        names = [name for name, problem in problems.items() if problem is None]
        windows, scale = np.empty(0), np.empty(0)
        if names:
            windows, scale = self.model.recipe.last_window(np.array([self._windows.bars(name) for name in names]))
        return _Inputs(
            names,
            windows,
            scale * self.model.horizon**0.5,
            [self._windows.close(name) for name in names],
            closed,
            {name: problem for name, problem in problems.items() if problem is not None},
        )

    def _problem(self, name: str, closed_at: int) -> str | None:
        if closed_at <= self.model.trained_to:
            return "the model was trained on this bar"
        return self._windows.problem(name)

    def _infer(self, inputs: _Inputs, engine: ComputeEngine) -> _Figures:
        start = time.perf_counter()
        with threads_for(self.model.elements(len(inputs.names))):
            values = self.model.evaluate(inputs.windows, engine) * inputs.scale
        return _Figures(values, str(engine.device), (time.perf_counter() - start) * 1e3)

    def _send(self, inputs: _Inputs, figures: _Figures | None) -> None:
        rows = {}
        for i, name in enumerate(inputs.names):
            assert figures is not None
            rows[name] = {
                "value": float(figures.values[i]),
                "volatility": float(inputs.scale[i]),
                "price": inputs.prices[i],
                "closed_at": inputs.closed_at[name],
            }
        self.last_forecast = Forecast(
            ts_event=max(inputs.closed_at.values()),
            ts_init=self.clock.timestamp_ns(),
            source=str(self.id),
            model=self.model.kind,
            checkpoint=self.model.digest,
            device=None if figures is None else figures.device,
            horizon=self.model.horizon,
            forecasts=rows,
            uncovered=inputs.uncovered,
            milliseconds=None if figures is None else figures.milliseconds,
        )
        publish(self, self.last_forecast)
