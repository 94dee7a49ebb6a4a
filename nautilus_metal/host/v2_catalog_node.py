"""A `BacktestNode` of NautilusTrader 2.x for a `CatalogRun`, and the history that 2.x's backtests do not serve."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.backtest import BacktestDataConfig, BacktestNode, BacktestRunConfig, BacktestVenueConfig
from nautilus_trader.common import ImportableActorConfig
from nautilus_trader.core import UUID4
from nautilus_trader.model import Currency, NautilusDataType
from nautilus_trader.persistence import ParquetDataCatalog, StreamingConfig
from nautilus_trader.trading import ImportableStrategyConfig

from nautilus_metal.host.catalog_run import CatalogRun
from nautilus_metal.host.v2_actor import Actor
from nautilus_metal.host.v2_backtest import no_fees, silent_config
from nautilus_metal.host.v2_order import number
from nautilus_metal.host.v2_runtime import HISTORY, offer

_RUN = "run"


class CatalogHistory(Actor):
    """Serves the bars of a catalog to actors of a backtest that ask for history; add it before them.

    Parameters
    ----------
    folder : Path
        The catalog.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def register_base(self, portfolio: Any, msgbus: Any, cache: Any, clock: Any) -> None:
        """Offer the history."""
        offer(msgbus, HISTORY, self.bars)

    def bars(self, bar_type: Any, start: int, end: int) -> list[Any]:
        """Return the bars of a type in order of time, `start` and `end` in UNIX nanoseconds."""
        found: list[Any] = ParquetDataCatalog(str(self._folder)).query_bars([str(bar_type)], start, end)
        return found


class CatalogNode:
    """Runs a backtest from its configuration, silently; as under 1.x.

    Parameters
    ----------
    run : CatalogRun
        The configuration.
    """

    def __init__(self, run: CatalogRun) -> None:
        self._id = UUID4()
        self._node = BacktestNode([_config(run, self._id)])
        self._node.build()
        self.cache, self.portfolio = self._node.get_engine_cache(_RUN), self._node.get_engine_portfolio(_RUN)
        self.instance_id = str(self._id)
        number(sorted(self.cache.instruments(), key=lambda one: str(one.id)))
        self._node.add_actor(_RUN, CatalogHistory(run.catalog))
        for actor in run.actors:
            self._node.add_actor_from_config(_RUN, ImportableActorConfig(*actor))
        for strategy in run.strategies:
            self._node.add_strategy_from_config(_RUN, ImportableStrategyConfig(*strategy))

    def add_actor(self, actor: Any) -> None:
        """Add an actor that is no part of the configuration."""
        self._node.add_actor(_RUN, actor)

    def run(self) -> None:
        """Run to the end; raise what a callback has raised."""
        self._node.run()

    def dispose(self) -> None:
        """Let go of everything."""
        self._node.dispose()


def _config(run: CatalogRun, instance_id: Any) -> BacktestRunConfig:
    folder = str(run.catalog)
    venue = BacktestVenueConfig(
        name=run.venue,
        oms_type=run.oms_type,
        account_type="MARGIN",
        base_currency=Currency.from_str(run.currency),
        starting_balances=[run.balance],
        default_leverage=Decimal(run.leverage),
        fee_model=no_fees(),
    )
    streamed = [NautilusDataType.Custom(kind.__name__) for kind in run.streamed]
    engine = silent_config(instance_id=instance_id, streaming=StreamingConfig(folder, data_types=streamed))
    return BacktestRunConfig(
        venues=[venue],
        data=[BacktestDataConfig(NautilusDataType.Bar, folder, bar_types=list(run.bar_types))],
        engine=engine,
        id=_RUN,
        start=run.start,
        end=run.end,
        raise_exception=True,
        dispose_on_completion=False,
    )
