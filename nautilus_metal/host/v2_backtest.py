"""Backtests under NautilusTrader 2.x: names, a silent engine, and what a run leaves behind."""

from collections.abc import Iterable
from typing import Any

from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig
from nautilus_trader.execution import FeeModel, MakerTakerFeeModel
from nautilus_trader.model import (
    AccountType,
    AssetClass,
    Bar,
    Currency,
    Equity,
    IndexInstrument,
    IndexPriceUpdate,
    OmsType,
    OptionContract,
    OptionKind,
    Price,
    Quantity,
)
from nautilus_trader.portfolio import PortfolioConfig

import nautilus_metal.host.v2_actor  # noqa: F401 - runs fail where a callback of ours has
from nautilus_metal.host.v2_order import number

__all__ = [
    "USD",
    "AccountType",
    "AssetClass",
    "BacktestEngine",
    "Equity",
    "FeeModel",
    "IndexInstrument",
    "IndexPriceUpdate",
    "OmsType",
    "OptionContract",
    "OptionKind",
    "add_instruments",
    "events_of",
    "make_bars",
    "no_fees",
    "silent_config",
    "silent_engine",
]

USD = Currency.from_str("USD")


def silent_config(**more: Any) -> BacktestEngineConfig:
    """Make the config of an engine that logs nothing and analyses nothing at the end.

    It keeps no equity curve either, for which 2.x goes through all closed positions at every bar.
    """
    portfolio, logging = PortfolioConfig(equity_curve=False), LoggerConfig(bypass_logging=True)
    return BacktestEngineConfig(logging=logging, bypass_logging=True, run_analysis=False, portfolio=portfolio, **more)


def silent_engine() -> BacktestEngine:
    """Make an engine that logs nothing and analyses nothing at the end."""
    return BacktestEngine(silent_config())


def add_instruments(engine: BacktestEngine, instruments: Iterable[Any]) -> None:
    """Add all instruments of a new engine; their order is that of positions in a book, as under 1.x."""
    chosen = list(instruments)
    number(chosen)
    for instrument in chosen:
        engine.add_instrument(instrument)


def no_fees() -> FeeModel:
    """Return the fee model of a venue that charges nothing; 2.x has no other default."""
    return MakerTakerFeeModel("0", "0")


def make_bars(bar_type: Any, instrument: Any, prices: Any, volume: Any, ts: Any) -> list[Bar]:
    """Make the bars of one instrument, as under 1.x."""
    precision, size = instrument.price_precision, instrument.size_precision
    rows = zip(*(row.tolist() for row in (*prices, volume, ts)), strict=True)
    return [
        Bar(bar_type, *(Price(price, precision) for price in each), Quantity(traded, size), stamp, stamp)
        for *each, traded, stamp in rows
    ]


def events_of(order: Any) -> list[Any]:
    """Return what happened to an order."""
    return list(order.events())
