"""Settings of the RiskController."""

from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig
from nautilus_metal.risk.checks import above, at_least
from nautilus_metal.risk.limits import LimitWatch


class RiskControllerConfig(ActorConfig, frozen=True, kw_only=True):
    """When a `RiskController` moves the trading state.

    A state is entered once a breach has lasted for as many reports, and for as many seconds from the first of them,
    as are given for it; without either it is never entered. Time passes with reports.

    Parameters
    ----------
    risk_actor : str, optional
        ID of the RiskActor whose reports count; the system's first one where not given.
    var_limit, es_limit : dict of float to float, optional
        By confidence level. Where neither is given, the limits of the RiskActor.
    reduce_after_reports, reduce_after_seconds : int, float, optional
        Until REDUCING; by default the first report over a limit is enough.
    halt_after_reports, halt_after_seconds : int, float, optional
        Until HALTED, which denies closing orders and hedges too; by default never.
    clear_after_reports, clear_after_seconds : int, float
        For how long all figures must be back under `release` before the state is ACTIVE again.
    release : float, default 0.9
        Share of a limit, in (0, 1], under which a figure counts as back.
    """

    risk_actor: str | None = None
    var_limit: dict[float, float] = {}
    es_limit: dict[float, float] = {}
    reduce_after_reports: int | None = 1
    reduce_after_seconds: float | None = None
    halt_after_reports: int | None = None
    halt_after_seconds: float | None = None
    clear_after_reports: int = 1
    clear_after_seconds: float = 0.0
    release: float = 0.9


def check(config: RiskControllerConfig) -> None:
    """Refuse at construction what would fail at the first report."""
    LimitWatch({"var": config.var_limit, "es": config.es_limit})
    for step in ("reduce", "halt", "clear"):
        reports, seconds = getattr(config, f"{step}_after_reports"), getattr(config, f"{step}_after_seconds")
        if reports is not None:
            at_least(reports, 1, f"`{step}_after_reports`")
        if seconds is not None:
            at_least(seconds, 0, f"`{step}_after_seconds`")
    if above(config.release, 0.0, "`release`") > 1:
        raise InputError(f"`release` must be at most 1, was {config.release}")
