"""The cases, by name."""

from nautilus_metal.bench.case import Case
from nautilus_metal.bench.cases import (
    backtest,
    gate,
    indicators,
    matrices,
    option_book,
    pool,
    portfolio,
    pricing,
    risk,
)

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        *indicators.CASES,
        *risk.CASES,
        *option_book.CASES,
        *pricing.CASES,
        *matrices.CASES,
        *gate.CASES,
        *portfolio.CASES,
        *pool.CASES,
        *backtest.CASES,
    )
}
