"""The RiskActor's figures as messages."""

from dataclasses import dataclass
from typing import Any

from nautilus_metal.actors.option_terms import Valued
from nautilus_metal.actors.risk_tick import Inputs, StressFigures
from nautilus_metal.actors.snapshot import Snapshot
from nautilus_metal.messages import GreeksReport, RiskReport, StressReport, level_key
from nautilus_metal.risk import RiskAssessment
from nautilus_metal.risk.greeks import MEASURES, BookGreeks

_IN_RISK_REPORT = ("delta", "gamma", "vega", "theta")


@dataclass(frozen=True, slots=True)
class Stamp:
    """When and by whom a message was made."""

    ts_event: int
    ts_init: int
    source: str


def risk_report(
    stamp: Stamp, risk: RiskAssessment, inputs: Inputs, greeks: BookGreeks | None, pool_hit_rate: float | None
) -> RiskReport:
    """Write an assessment as a message; without levels where nothing that is held is covered."""
    snapshot = inputs.snapshot
    known = bool(snapshot.book.positions) or not snapshot.uncovered
    return RiskReport(
        ts_event=stamp.ts_event,
        ts_init=stamp.ts_init,
        source=stamp.source,
        model=risk.model,
        sampler=risk.sampler,
        device=risk.device,
        seed=risk.seed,
        scenarios=risk.scenarios,
        horizon=risk.horizon,
        base_currency=risk.book.base_currency,
        value=risk.value,
        levels=_levels(risk) if known else {},
        positions=_positions(risk, snapshot, greeks),
        uncovered=dict(snapshot.uncovered),
        worst_loss=risk.worst_loss,
        drift=risk.drift,
        milliseconds=risk.milliseconds,
        pool_hit_rate=pool_hit_rate,
        ts_snapshot=inputs.taken_at,
        age=snapshot.age(stamp.ts_init),
        skipped=inputs.skipped,
    )


def greeks_report(stamp: Stamp, snapshot: Snapshot, greeks: BookGreeks) -> GreeksReport:
    """Write sensitivities as a message."""
    columns = {name: getattr(greeks, name).tolist() for name in MEASURES}
    rows = {
        position.instrument: {name: column[i] for name, column in columns.items()}
        | _market(snapshot.options.get(position.instrument))
        for i, position in enumerate(snapshot.book.positions)
    }
    return GreeksReport(
        stamp.ts_event,
        stamp.ts_init,
        source=stamp.source,
        base_currency=snapshot.book.base_currency,
        value=snapshot.book.value,
        totals=dict(greeks.total),
        underlyings={name: dict(row) for name, row in greeks.by_underlying.items()},
        positions=rows,
        uncovered=dict(snapshot.uncovered),
    )


def stress_report(stamp: Stamp, snapshot: Snapshot, figures: StressFigures) -> StressReport:
    """Write stress tests as a message."""
    return StressReport(
        stamp.ts_event,
        stamp.ts_init,
        source=stamp.source,
        base_currency=snapshot.book.base_currency,
        value=snapshot.book.value,
        stresses=figures.rows,
        grid=figures.grid,
        uncovered=dict(snapshot.uncovered),
    )


def _levels(risk: RiskAssessment) -> dict[str, dict[str, float]]:
    measures = {"var": risk.var, "es": risk.es, "var_se": risk.var_se, "es_se": risk.es_se}
    if risk.delta_gamma_var is not None and risk.delta_gamma_es is not None:
        measures |= {"var_delta_gamma": risk.delta_gamma_var, "es_delta_gamma": risk.delta_gamma_es}
    return {level_key(level): {name: by_level[level] for name, by_level in measures.items()} for level in risk.levels}


def _positions(risk: RiskAssessment, snapshot: Snapshot, greeks: BookGreeks | None) -> dict[str, dict[str, Any]]:
    split = {"component_var": risk.component_var, "component_es": risk.component_es}
    columns = {name: {level_key(level): row.tolist() for level, row in rows.items()} for name, rows in split.items()}
    values = risk.book.values.tolist()
    rows = {
        position.instrument: {
            "quantity": position.quantity,
            "price": position.price,
            "value": values[i],
            **{name: {key: row[i] for key, row in rows.items()} for name, rows in columns.items()},
        }
        for i, position in enumerate(risk.book.positions)
    }
    if greeks is not None:
        for i, position in enumerate(risk.book.positions):
            if position.option is not None:
                rows[position.instrument] |= _market(snapshot.options[position.instrument])
                rows[position.instrument] |= {name: float(getattr(greeks, name)[i]) for name in _IN_RISK_REPORT}
    return rows


def _market(valued: Valued | None) -> dict[str, Any]:
    """Where an option's figures are from; nothing for a plain position."""
    if valued is None or valued.position.option is None:
        return {}
    option = valued.position.option
    return {
        "underlying": option.underlying,
        "spot": option.spot,
        "expiry": option.expiry,
        "volatility": option.volatility,
        "volatility_source": valued.source,
        "volatility_age": valued.age,
    }
