"""The backtests of this project on short periods: logs of their indicators, messages, fills and positions."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from backtests import allocation, node_config, option_hedge, portfolio_risk
from backtests._common import portfolio_facts
from backtests._data import sp500_stocks, us_indices
from backtests._option_market import INDEX, load
from nautilus_metal.cli.options import BacktestOptions
from nautilus_metal.host.backtest import CatalogNode
from nautilus_metal.host.catalog import read_streamed
from nautilus_metal.messages import RiskBreach, RiskReport
from tests.parity.watcher import Watcher, closing, noted, shown_of

Log = list[list[Any]]
LIMIT = {"var_limit": {0.99: 10_000.0}}  # crossed in this short time, as the backtest's own is not


def ran(engine: Any, shown: str) -> Log:
    """Run an engine with a watcher added; return its log."""
    log: Log = []
    engine.add_strategy(Watcher(log, shown))
    try:
        engine.run()
        return log + closing(engine.cache) + [account(engine.cache, engine.portfolio)]
    finally:
        engine.dispose()


def account(cache: Any, portfolio: Any) -> list[Any]:
    """What is left at the end."""
    return [0, "account", portfolio_facts(cache, portfolio)]


def of_portfolio_risk() -> Log:
    """The demo: 20 stocks, four strategies, two risk models."""
    options = BacktestOptions("portfolio_risk", device="cpu", models=("filtered_historical", "normal"), scenarios=500)
    market = sp500_stocks(date(2004, 6, 1), date(2005, 8, 19))
    return ran(portfolio_risk.build(market, options), "AAPL.SIM")


def of_option_hedge() -> Log:
    """Straddles that are sold each month and settled, and the hedge of delta, gamma and vega."""
    market = load(date(2014, 1, 3), date(2014, 5, 9))
    engine, _ = option_hedge.build(market, option_hedge.MAIN, BacktestOptions("option_hedge", device="cpu"))
    return ran(engine, str(INDEX))


def of_allocation() -> Log:
    """Monthly weights in a cash account that pays fees."""
    market = sp500_stocks(date(2007, 1, 2), date(2008, 6, 30))
    engine, _ = allocation.build(market, "minimum_cvar", BacktestOptions("allocation", device="cpu"))
    return ran(engine, "AAPL.SIM")


def of_node_config() -> Log:
    """The node: a catalog, its history, importable configs, reports and breaches read back from the stream."""
    options = BacktestOptions("node_config", device="cpu", models=("historical", "normal"), scenarios=500)
    market = us_indices(date(2007, 6, 1), date(2008, 10, 31))
    with TemporaryDirectory() as folder:
        catalog = Path(folder) / "catalog"
        node_config.write_catalog(catalog, us_indices(None, None))
        config = node_config.run_config(catalog, market, options)
        engine, *risk = config.actors
        limited = (one._replace(config=one.config | LIMIT) for one in risk)
        node = CatalogNode(replace(config, actors=(engine, *limited)))
        try:
            node.run()
            rows = [*closing(node.cache), account(node.cache, node.portfolio)]
        finally:
            node.dispose()
        reports, breaches = (
            read_streamed(catalog, "backtest", node.instance_id, kind) for kind in (RiskReport, RiskBreach)
        )
    return [noted(one) for one in reports if shown_of(one)] + [noted(one) for one in breaches] + rows


SCRIPTS: dict[str, Callable[[], Log]] = {
    "portfolio_risk": of_portfolio_risk,
    "option_hedge": of_option_hedge,
    "allocation": of_allocation,
    "node_config": of_node_config,
}
