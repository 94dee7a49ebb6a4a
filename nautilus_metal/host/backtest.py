"""What a backtest's script needs of the installed NautilusTrader where its versions differ.

Apart from the rest of the room, as it loads so much. Values such as `Money`, `Price` and `InstrumentId` are in
``nautilus_trader.model`` under both.
"""

from typing import TYPE_CHECKING

from nautilus_metal.host.catalog_run import CatalogRun, Importable
from nautilus_metal.host.version import MAJOR

if TYPE_CHECKING or MAJOR == 1:
    from nautilus_metal.host.v1_backtest import (
        USD,
        AccountType,
        AssetClass,
        BacktestEngine,
        Equity,
        FeeModel,
        IndexInstrument,
        IndexPriceUpdate,
        OmsType,
        OptionContract,
        OptionKind,
        add_instruments,
        fills_of,
        make_bars,
        no_fees,
        silent_engine,
    )
    from nautilus_metal.host.v1_catalog_node import CatalogNode
else:
    from nautilus_metal.host.v2_backtest import (
        USD,
        AccountType,
        AssetClass,
        BacktestEngine,
        Equity,
        FeeModel,
        IndexInstrument,
        IndexPriceUpdate,
        OmsType,
        OptionContract,
        OptionKind,
        add_instruments,
        fills_of,
        make_bars,
        no_fees,
        silent_engine,
    )
    from nautilus_metal.host.v2_catalog_node import CatalogNode

__all__ = [
    "USD",
    "AccountType",
    "AssetClass",
    "BacktestEngine",
    "CatalogNode",
    "CatalogRun",
    "Equity",
    "FeeModel",
    "Importable",
    "IndexInstrument",
    "IndexPriceUpdate",
    "OmsType",
    "OptionContract",
    "OptionKind",
    "add_instruments",
    "fills_of",
    "make_bars",
    "no_fees",
    "silent_engine",
]
