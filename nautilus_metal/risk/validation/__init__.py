"""Was the risk number right? The tests that regulators use, as pure functions of P&L, VaR and expected shortfall."""

from nautilus_metal.risk.validation.coverage import (
    VarScore,
    binomial,
    christoffersen,
    christoffersen_independence,
    exceptions,
    haas_independence,
    haas_mixed,
    kupiec,
    score,
    traffic_light,
    tuff,
)
from nautilus_metal.risk.validation.coverage_null import CoverageNull
from nautilus_metal.risk.validation.result import TestResult

__all__ = [
    "CoverageNull",
    "TestResult",
    "VarScore",
    "binomial",
    "christoffersen",
    "christoffersen_independence",
    "exceptions",
    "haas_independence",
    "haas_mixed",
    "kupiec",
    "score",
    "traffic_light",
    "tuff",
]
