"""The ValidationActor: keeps the score of the models that state risk, and changes one that is wrong."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from nautilus_metal.actors.one_at_a_time import OneAtATime
from nautilus_metal.actors.risk import ENDPOINT
from nautilus_metal.actors.risk_config import with_model
from nautilus_metal.actors.saved_state import Envelope
from nautilus_metal.actors.side_work import SideWork
from nautilus_metal.actors.stateful import StatefulActor
from nautilus_metal.actors.validation_config import ValidationActorConfig, check
from nautilus_metal.actors.validation_track import Due, Track, plain
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.host import equity, find, offers, publish
from nautilus_metal.messages import (
    MODEL_SWITCH_TOPIC,
    RISK_REPORT_TOPIC,
    ModelSwitch,
    ModelVerdict,
    RiskReport,
    level_key,
)
from nautilus_metal.risk.validation import LevelVerdict

__all__ = ["ValidationActor", "ValidationActorConfig"]

_ENVELOPE = Envelope("ValidationActor", b"NMVA", 1)
_RULES = ("figure", "alarm_bound", "window", "day_end", "time_zone")
_Judged = list[tuple[Due, dict[float, LevelVerdict], float]]


class ValidationActor(StatefulActor):
    """Tests the figures of RiskActors while they are in use, and publishes a `ModelVerdict` as days close.

    When the horizon of a `RiskReport` has passed, what its positions would have made untouched, options by their
    marks, is compared with the VaR and the expected shortfall that it stated. A position without a price of that
    close makes the day's P&L unknown: the day is counted and listed, and is in no test.

    The e-process is a bet against the model whose wealth may be looked at every day. When it reaches `alarm_bound`
    the alarm is raised, once, with a warning in the log, and the RiskActor is switched to the next model of `switch`
    where there is one, from its next tick on; the score begins anew with the new model's first report.

    In a live system tests are made beside the event loop, on a thread of their own, so that no risk tick waits for
    them. Scores are saved and loaded with the node's other state;
    after a restart they go on with the reports that waited for their close. It belongs behind the RiskActors in the
    system's configuration, so that in a backtest it hears their last report.

    Parameters
    ----------
    config : ValidationActorConfig, optional
        The settings.

    Attributes
    ----------
    last_verdicts : dict of str to ModelVerdict
        By RiskActor.

    Raises
    ------
    InputError
        If a setting is outside its range; at the start, if a RiskActor is not there, or cannot use a model of
        `switch`.
    """

    state_key = "nautilus_metal.ValidationActor"
    without_it = "and scores begin anew"

    def __init__(self, config: ValidationActorConfig | None = None) -> None:
        config = config or ValidationActorConfig()
        check(config)
        super().__init__(config)
        self.last_verdicts: dict[str, ModelVerdict] = {}
        self._tracks: dict[str, Track] = {}
        self._due: list[Due] = []
        self._line = OneAtATime(self, self._begin)

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, and hear reports and switches: once, as the bus keeps subscribers over a reset."""
        super().register_base(portfolio, msgbus, cache, clock)
        self.engine = SideWork(clock, f"nautilus-metal-{self.id}")
        msgbus.subscribe(RISK_REPORT_TOPIC, self._on_report)
        msgbus.subscribe(MODEL_SWITCH_TOPIC, self._on_switch)

    def on_start(self) -> None:
        """Try each model that may be switched to, and take the state that was kept."""
        for name in self.config.risk_actors or offers(self.msgbus, f"{ENDPOINT}."):
            risk = self._risk(name)
            if risk is None:
                raise InputError(f"`risk_actors` must be RiskActors of the system, {name} is none")
            for model in self.config.switch:
                with_model(risk.config, model, self.config.switch_options.get(model, {}))
        if not self._tracks:
            self._recall()

    def on_stop(self) -> None:
        """Publish the verdicts that a backtest ends on; live, give up what is in flight."""
        if self._line.stop():
            self._begin(0)
        if not self.engine.close():
            self.log.error("A test hangs: its thread is left behind")
        self._keep()

    def on_reset(self) -> None:
        """Forget every score."""
        self._tracks.clear()
        self._due.clear()
        self._line.reset()
        self.last_verdicts = {}

    def _on_report(self, report: RiskReport) -> None:
        chosen = self.config.risk_actors
        risk = self._risk(report.source) if self.is_running and report.source in (chosen or {report.source}) else None
        if risk is None or not report.ts_event:
            return
        track = self._track(risk, report)
        worth = equity(self.portfolio, self.cache, report.base_currency, {}) if self.config.actual_pnl else None
        silent = track.score is None or not track.score.alarm
        for due in track.take(report, risk.closes, risk.marks, worth):
            raised = silent and due.score.alarm
            days = due.score.days + due.facts["unknown_days"]
            if raised or days % self.config.publish_every == 0:
                self._due.append(self._raise(risk, due) if raised else due)
                self._line.request()
            if raised:
                break  # what else has closed is of a model that is no longer in use, or has its verdict

    def _track(self, risk: Any, report: RiskReport) -> Track:
        """Find the RiskActor's record, or begin one where the model is not the one that was on trial."""
        track, options = self._tracks.get(report.source), risk.model_options
        in_use = report.model == risk.model  # else it was in flight when the model was switched
        if track is not None and in_use and not track.fits(report, options):
            self.log.warning(f"The score of {risk.id} begins anew: it was of other figures")
            track = None
        if track is None:
            track = self._tracks[report.source] = Track(self.config, report.model, options, report.horizon)
        return track

    def _on_switch(self, switch: ModelSwitch) -> None:
        track = self._tracks.get(switch.source)
        if track is not None:
            track.restart(switch.model, switch.options, switch.ts_init)

    def _raise(self, risk: Any, due: Due) -> Due:
        """Say that a model is wrong, and switch to the next one where there is one."""
        model, bound = due.facts["model"], due.score.bound
        wealth = math.exp(due.score.log_wealth)
        words = f"{model} states risk too low: a bet against it has made {wealth:.1f} of 1, {bound:g} is the bound"
        self.log.warning(f"{risk.id}: {words}, after {due.score.days} days")
        if not self.config.switch:
            return replace(due, comment=words)
        ahead = self._next(risk)
        if ahead is None:
            self.log.warning(f"{risk.id} stays with {model}, the last model of `switch`")
            return replace(due, comment=f"{words}; it is the last model of `switch` and stays")
        risk.use_model(ahead, self.config.switch_options.get(ahead, {}), words)
        return replace(due, next_model=ahead, comment=words)

    def _next(self, risk: Any) -> str | None:
        """The model after the one in use; the first one where that is none of them."""
        listed = [(name, plain(self.config.switch_options.get(name, {}))) for name in self.config.switch]
        used = (risk.model, plain(risk.model_options))
        place = listed.index(used) + 1 if used in listed else 0
        return listed[place][0] if place < len(listed) else None

    def _begin(self, _skipped: int) -> None:
        due, self._due = self._due, []
        self._line.submit(partial(_judge, due), self._send)

    def _send(self, judged: _Judged) -> None:
        for due, verdicts, milliseconds in judged:
            closed, score = due.closed, due.score
            verdict = ModelVerdict(
                ts_event=closed.closed_at,
                ts_init=self.clock.timestamp_ns(),
                source=str(self.id),
                **due.facts,
                days=score.days,
                pnl=closed.pnl,
                actual_pnl=closed.actual,
                unknown=closed.unknown,
                levels={level_key(level): asdict(one) for level, one in verdicts.items()},
                log_wealth=score.log_wealth,
                bound=score.bound,
                alarm=score.alarm,
                next_model=due.next_model,
                comment=due.comment,
                milliseconds=milliseconds,
            )
            self.last_verdicts[verdict.risk_actor] = verdict
            publish(self, verdict)

    def _risk(self, name: str) -> Any:
        return find(self.msgbus, f"{ENDPOINT}.{name}")

    def _packed(self) -> bytes:
        tracks = {name: track.state() for name, track in self._tracks.items()}
        return _ENVELOPE.pack({}, {"rules": self._rules(), "tracks": tracks})

    def _restore(self, data: bytes) -> None:
        _, memory = _ENVELOPE.unpack(data)
        if memory["rules"] != self._rules():
            raise InputError(f"`state` must be of {self._rules()}, was of {memory['rules']}")
        self._tracks = {name: Track.restore(self.config, state) for name, state in memory["tracks"].items()}

    def _rules(self) -> dict[str, Any]:
        """What a saved score is worthless without."""
        return {name: getattr(self.config, name) for name in _RULES}


def _judge(due: Sequence[Due], engine: ComputeEngine) -> _Judged:
    judged = []
    for one in due:
        start = time.perf_counter()
        verdicts = one.score.verdict(engine)
        judged.append((one, verdicts, (time.perf_counter() - start) * 1e3))
    return judged
