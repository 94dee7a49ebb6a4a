"""Settings of the RiskGate."""

from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig
from nautilus_metal.risk.checks import above
from nautilus_metal.risk.limits import LimitWatch

ON_STALE = ("deny", "allow")


class RiskGateConfig(ActorConfig, frozen=True, kw_only=True):
    """What a `RiskGate` lets through.

    Parameters
    ----------
    risk_actor : str, optional
        ID of the RiskActor whose scenarios are asked, with `keep_scenarios` among its settings; the system's first
        one where not given.
    var_limit, es_limit : dict of float to float, optional
        By confidence level, the amount that an order may not bring the figure above. Where neither is given, the
        limits of the RiskActor.
    trim : bool, default False
        Cut a single order to what the limits allow, in whole lots, instead of denying it. Lists of orders,
        modifications and quantities in quote currency are never cut.
    on_stale : {"deny", "allow"}
        What becomes of orders that neither reduce nor hedge while risk is unknown.
    max_age_seconds : float, optional
        Age of the snapshot of the last report beyond which risk is unknown; without it, only the RiskActor says so.
    hedge_strategies, hedge_tags : tuple of str, optional
        IDs of strategies, and tags of orders, that always pass.
    hedges_pass_reducing : bool, default True
        Let hedges, and what does not raise risk, through in the trading state REDUCING, where the host denies all
        that adds to a position.
    """

    risk_actor: str | None = None
    var_limit: dict[float, float] = {}
    es_limit: dict[float, float] = {}
    trim: bool = False
    on_stale: str = "deny"
    max_age_seconds: float | None = None
    hedge_strategies: tuple[str, ...] = ()
    hedge_tags: tuple[str, ...] = ()
    hedges_pass_reducing: bool = True


def check(config: RiskGateConfig) -> None:
    """Refuse at construction what would fail at the first order."""
    LimitWatch({"var": config.var_limit, "es": config.es_limit})
    if config.on_stale not in ON_STALE:
        raise InputError(f"`on_stale` must be one of {', '.join(ON_STALE)}, was {config.on_stale!r}")
    if config.max_age_seconds is not None:
        above(config.max_age_seconds, 0.0, "`max_age_seconds`")
