"""Backtests under NautilusTrader 1.x: names, a silent engine, and what a run leaves behind."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import FeeModel, MakerTakerFeeModel
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model import Bar
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import IndexPriceUpdate
from nautilus_trader.model.enums import AccountType, AssetClass, OmsType, OptionKind
from nautilus_trader.model.instruments import Equity, IndexInstrument, OptionContract

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
    "forget_trades",
    "make_bars",
    "no_fees",
    "silent_engine",
]


def silent_engine() -> BacktestEngine:
    """Make an engine that logs nothing and analyses nothing at the end."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    forget_trades(engine)
    return engine


def forget_trades(engine: BacktestEngine) -> None:
    """Keep the host's analyzer from a record that nobody reads where `run_analysis` is off.

    It copies the whole of it for every position that closes, which with 25,000 of them takes longer than the trading.
    """
    engine.portfolio.analyzer.record_trade = lambda *_, **__: None


def add_instruments(engine: BacktestEngine, instruments: Iterable[Any]) -> None:
    """Add all instruments of a new engine."""
    for instrument in instruments:
        engine.add_instrument(instrument)


def no_fees() -> FeeModel:
    """Return the fee model of a venue that charges nothing for instruments without fees."""
    return MakerTakerFeeModel()


def make_bars(bar_type: Any, instrument: Any, prices: Any, volume: Any, ts: Any) -> list[Bar]:
    """Make the bars of one instrument.

    Parameters
    ----------
    bar_type : BarType
        Of the bars.
    instrument : Instrument
        With the precisions.
    prices : ndarray of float64, shape (4, D)
        Open, high, low, close.
    volume : ndarray of float64, shape (D,)
        Traded.
    ts : ndarray of int64, shape (D,)
        UNIX nanoseconds of each close, ascending.
    """
    stamps = ts.astype(np.uint64)
    columns = [np.ascontiguousarray(row) for row in (*prices, volume)]
    precisions = (instrument.price_precision, instrument.size_precision)
    made: list[Bar] = Bar.from_raw_arrays_to_list(bar_type, *precisions, *columns, stamps, stamps.copy())
    return made


def events_of(order: Any) -> list[Any]:
    """Return what happened to an order."""
    return list(order.events)
