"""Measure this package against the strongest peers on the machine at hand; every case is a row of `CASES`."""

from nautilus_metal.bench.case import Case, Result
from nautilus_metal.bench.cases import CASES
from nautilus_metal.bench.command import run_bench
from nautilus_metal.bench.runner import run
from nautilus_metal.bench.table import table

__all__ = ["CASES", "Case", "Result", "run", "run_bench", "table"]
