"""What a backtest's script needs of the installed NautilusTrader where its versions differ.

Apart from the rest of the room, as it loads so much. Values such as `Money`, `Price` and `InstrumentId` are in
``nautilus_trader.model`` under both.
"""

from typing import TYPE_CHECKING, Any

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
        events_of,
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
        events_of,
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


def fills_of(cache: Any) -> list[Any]:
    """Return the fills of all orders in order of time, those of one time by instrument and order."""
    events = (event for order in cache.orders() for event in events_of(order))
    return sorted((one for one in events if type(one).__name__ == "OrderFilled"), key=_by_time)


def _by_time(fill: Any) -> tuple[int, int, str, str]:
    return fill.ts_event, fill.ts_init, str(fill.instrument_id), str(fill.client_order_id)
