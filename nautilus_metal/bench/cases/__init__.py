"""The cases, by name."""

from nautilus_metal.bench.case import Case
from nautilus_metal.bench.cases import (
    backtest,
    backtest_device,
    cuda,
    gate,
    indicators,
    matrices,
    option_book,
    placement,
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
        *placement.CASES,
        *backtest.CASES,
        *backtest_device.CASES,
        *cuda.CASES,
    )
}
