"""A `BacktestNode` of NautilusTrader 1.x for a `CatalogRun`."""

from typing import Any

from nautilus_trader.backtest.config import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.backtest.node import BacktestNode
from nautilus_trader.config import (
    DataCatalogConfig,
    ImportableActorConfig,
    ImportableStrategyConfig,
    LoggingConfig,
    StreamingConfig,
)
from nautilus_trader.model import Bar

from nautilus_metal.host.catalog_run import CatalogRun
from nautilus_metal.host.v1_backtest import forget_trades


class CatalogNode:
    """Runs a backtest from its configuration, silently.

    Parameters
    ----------
    run : CatalogRun
        The configuration.

    Attributes
    ----------
    cache, portfolio
        Of the engine.
    instance_id : str
        Under which the run streams.
    """

    def __init__(self, run: CatalogRun) -> None:
        self._node = BacktestNode([_config(run)])
        self._node.build()
        self._engine = self._node.get_engines()[0]
        forget_trades(self._engine)
        self.cache, self.portfolio = self._engine.cache, self._engine.portfolio
        self.instance_id = str(self._engine.kernel.instance_id)

    def add_actor(self, actor: Any) -> None:
        """Add an actor that is no part of the configuration."""
        self._engine.add_actor(actor)

    def run(self) -> None:
        """Run to the end; raise what a callback has raised."""
        self._node.run()

    def dispose(self) -> None:
        """Let go of everything."""
        self._node.dispose()


def _config(run: CatalogRun) -> BacktestRunConfig:
    folder = str(run.catalog)
    venue = BacktestVenueConfig(
        name=run.venue,
        oms_type=run.oms_type,
        account_type="MARGIN",
        base_currency=run.currency,
        starting_balances=[run.balance],
        default_leverage=run.leverage,
    )
    bars = f"{Bar.__module__}:{Bar.__name__}"
    engine = BacktestEngineConfig(
        logging=LoggingConfig(bypass_logging=True),
        run_analysis=False,
        catalogs=[DataCatalogConfig(path=folder)],
        streaming=StreamingConfig(catalog_path=folder, include_types=list(run.streamed)),
        actors=[ImportableActorConfig(*one) for one in run.actors],
        strategies=[ImportableStrategyConfig(*one) for one in run.strategies],
    )
    return BacktestRunConfig(
        venues=[venue],
        data=[BacktestDataConfig(catalog_path=folder, data_cls=bars, bar_types=list(run.bar_types))],
        engine=engine,
        start=run.start,
        end=run.end,
        raise_exception=True,
        dispose_on_completion=False,
    )
