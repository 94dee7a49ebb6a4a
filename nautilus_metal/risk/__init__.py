"""Risk of a book of positions: snapshot in, report out. Needs no NautilusTrader."""

from nautilus_metal.risk.assess import assess
from nautilus_metal.risk.assessment import RiskAssessment
from nautilus_metal.risk.attribution import VarChange, explain_change
from nautilus_metal.risk.book import Book, Position
from nautilus_metal.risk.models import MODELS
from nautilus_metal.risk.option import Option
from nautilus_metal.risk.worst import WorstScenarios, worst_scenarios

__all__ = [
    "MODELS",
    "Book",
    "Option",
    "Position",
    "RiskAssessment",
    "VarChange",
    "WorstScenarios",
    "assess",
    "explain_change",
    "worst_scenarios",
]
