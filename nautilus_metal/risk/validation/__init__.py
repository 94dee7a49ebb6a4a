"""Was the risk number right? The tests that regulators use, as pure functions of P&L, VaR and expected shortfall."""

from nautilus_metal.risk.validation.clean import clean_contributions
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
from nautilus_metal.risk.validation.e_process import EProcess, e_process
from nautilus_metal.risk.validation.laws import InnovationLaw, empirical_law, normal_law, student_law
from nautilus_metal.risk.validation.result import TestResult
from nautilus_metal.risk.validation.running import LevelScore, LevelVerdict, ModelScore
from nautilus_metal.risk.validation.scores import diebold_mariano, fissler_ziegel_score, quantile_score
from nautilus_metal.risk.validation.shortfall import (
    ShortfallResult,
    ShortfallVerdict,
    acerbi_szekely,
    shortfall_statistics,
)

__all__ = [
    "CoverageNull",
    "EProcess",
    "InnovationLaw",
    "LevelScore",
    "LevelVerdict",
    "ModelScore",
    "ShortfallResult",
    "ShortfallVerdict",
    "TestResult",
    "VarScore",
    "acerbi_szekely",
    "binomial",
    "christoffersen",
    "christoffersen_independence",
    "clean_contributions",
    "diebold_mariano",
    "e_process",
    "empirical_law",
    "exceptions",
    "fissler_ziegel_score",
    "haas_independence",
    "haas_mixed",
    "kupiec",
    "normal_law",
    "quantile_score",
    "score",
    "shortfall_statistics",
    "student_law",
    "traffic_light",
    "tuff",
]
