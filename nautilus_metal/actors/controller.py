"""The RiskController: moves the trading state when a limit stays broken, and back when risk has come down."""

from typing import Any

from nautilus_metal.actors.controller_config import RiskControllerConfig, check
from nautilus_metal.actors.gate_weighing import figure_name
from nautilus_metal.host import Controller, find, set_trading_state, trading_state
from nautilus_metal.messages import RISK_REPORT_TOPIC, RiskReport
from nautilus_metal.risk.limits import MEASURES

__all__ = ["RiskController", "RiskControllerConfig"]

_SEVERITY = {"ACTIVE": 0, "REDUCING": 1, "HALTED": 2}


class RiskController(Controller):
    """Moves the host's trading state by the figures of a RiskActor: ACTIVE to REDUCING, to HALTED, and back.

    REDUCING lets the host deny what adds to a position; orders that open one from nothing, or turn one around, pass,
    unless a `RiskGate` is there, which denies all that raises risk then and lets hedges through. HALTED lets nothing
    through, closing orders and hedges included. A state that somebody else has set is made stricter, never looser.

    The host keeps its trading state over a reset; this puts it back to ACTIVE. A report without figures, or none,
    leaves the state as it is.

    NautilusTrader v2 keeps its trading state from Python: there the state is one of this package, before all orders
    of strategies in Python, with the same denials. HALTED denies orders for the emulator there as well. A system with
    a strategy or an execution algorithm in Rust is refused, and the orders by which the host itself ends a strategy's
    positions (`manage_stop`, a controller's `market_exit_strategy`) pass.

    Parameters
    ----------
    trader : Trader, optional
        Of the system, under v1; v2 has none. The host gives it where this is the system's `controller`, as
        ``ImportableControllerConfig("nautilus_metal.actors:RiskController",
        "nautilus_metal.actors:RiskControllerConfig", {...})``; by hand it is
        ``engine.add_actor(RiskController(engine.trader))``, under v2 ``RiskController(config=...)``.
    config : RiskControllerConfig, optional
        The settings.

    Raises
    ------
    InputError
        If a setting is outside its range.
    """

    def __init__(self, trader: Any = None, config: RiskControllerConfig | None = None) -> None:
        if isinstance(trader, RiskControllerConfig):  # from an importable config of a host without traders
            trader, config = None, trader
        config = config or RiskControllerConfig()
        check(config)
        super().__init__(trader, config)
        self._forget()

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Register with a trader, and hear reports: once, as the message bus keeps subscribers over a reset."""
        super().register_base(portfolio, msgbus, cache, clock)
        msgbus.subscribe(RISK_REPORT_TOPIC, self._on_report)

    def on_reset(self) -> None:
        """Put the trading state back."""
        if self._own is not None:
            set_trading_state(self._trader, "ACTIVE")
        self._forget()

    @property
    def trading_state(self) -> str:
        """ "ACTIVE", "REDUCING" or "HALTED"."""
        return trading_state(self._trader)

    def _forget(self) -> None:
        self._own: str | None = None  # the state that was set here
        self._since: int | None = None  # first report of the current run of breaches, or of the all-clear
        self._reports = 0
        self._broken = False

    def _on_report(self, report: RiskReport) -> None:
        if not (self.is_running and report.levels):
            return
        actor = find(self.msgbus, "RiskActor.get" + (f".{self.config.risk_actor}" if self.config.risk_actor else ""))
        if actor is not None and str(actor.id) != report.source:
            return
        share, name = self._worst(report, actor)
        if share > 1.0:
            self._count(True, report.ts_init)
            self._tighten(report.ts_init, name)
        elif self._own is None or share <= self.config.release:
            self._count(False, report.ts_init)
            self._loosen(report.ts_init)
        else:
            self._since = None  # neither broken nor clear: the count of either starts again

    def _worst(self, report: RiskReport, actor: Any) -> tuple[float, str]:
        """The largest figure as a share of its limit, and what it is."""
        limits = {"var": self.config.var_limit, "es": self.config.es_limit}
        if not any(limits.values()) and actor is not None:
            limits = {"var": actor.config.var_limit, "es": actor.config.es_limit}
        shares = [
            (getattr(report, measure)(level) / limit, figure_name(measure, level))
            for measure in MEASURES
            for level, limit in limits[measure].items()
        ]
        return max(shares, default=(0.0, ""))

    def _count(self, broken: bool, now: int) -> None:
        if self._since is None or broken is not self._broken:
            self._since, self._reports, self._broken = now, 0, broken
        self._reports += 1

    def _lasted(self, step: str, now: int) -> bool:
        reports, seconds = (getattr(self.config, f"{step}_after_{unit}") for unit in ("reports", "seconds"))
        if reports is None and seconds is None:
            return False
        elapsed = 0.0 if self._since is None else (now - self._since) / 1e9
        return self._reports >= (reports or 1) and elapsed >= (seconds or 0.0)

    def _tighten(self, now: int, name: str) -> None:
        wanted = "HALTED" if self._lasted("halt", now) else "REDUCING" if self._lasted("reduce", now) else "ACTIVE"
        if _SEVERITY[wanted] > _SEVERITY[self.trading_state]:
            self.log.warning(f"Trading is {wanted}: {name} is over its limit for {self._reports} reports")
            set_trading_state(self._trader, wanted)
            self._own = wanted

    def _loosen(self, now: int) -> None:
        if self._own is None or not self._lasted("clear", now):
            return
        if self.trading_state == self._own:
            self.log.info("Trading is ACTIVE: risk is back under its limits")
            set_trading_state(self._trader, "ACTIVE")
        self._own = None
