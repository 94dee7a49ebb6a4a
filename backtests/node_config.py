"""The same from configuration alone: BacktestNode, a data catalog that it writes, reports streamed and read back.

The S&P 500 and the Nasdaq Composite, 1999 to 2018. Engine, risk actors and strategies are importable configs, as they
stand in the file of a live node. Runs by `python backtests/node_config.py` and by `nautilus-metal backtest
node_config`.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from backtests._common import (  # noqa: E402
    MIN_OBSERVATIONS,
    REPORTS,
    STARTING_CASH,
    WINDOW,
    Listener,
    finish,
    judged,
    portfolio_facts,
    prepare,
    progress_of,
    run_settings,
    source_of,
    timed,
    title_of,
)
from backtests._data import VENUE, Market, us_indices  # noqa: E402
from nautilus_metal.cli.backtest import script_main  # noqa: E402
from nautilus_metal.cli.options import BacktestOptions  # noqa: E402
from nautilus_metal.errors import InputError  # noqa: E402
from nautilus_metal.host.backtest import CatalogNode, CatalogRun, Importable  # noqa: E402
from nautilus_metal.host.catalog import read_streamed, write_prices  # noqa: E402
from nautilus_metal.messages import RISK_REPORT_TOPIC, RiskBreach, RiskReport  # noqa: E402
from nautilus_metal.report.series import collect  # noqa: E402
from nautilus_metal.report.store import ReportWriter  # noqa: E402

MARK = ".written_by_node_config"
NOTIONAL = 100_000.0
VAR_BUDGET, VAR_LIMIT, BUDGET_LEVEL = 20_000.0, 25_000.0, 0.99

NOTES = (
    "Prices: daily open, high, low, close and volume of the S&P 500 and the Nasdaq Composite (1999 to 2018) from "
    "arch's bundled data; nothing of it is in this repository.",
    "An index cannot be traded: a unit stands for a fund that follows it without cost or dividend.",
    "Orders fill at the close of the bar that they answer to, without fees, spread or financing.",
    "The figures are those of the reports read back from the stream in the catalog, not of objects kept in memory.",
    "A report's VaR is of the positions at the close before the risk-scaled strategy has answered to that report. "
    "Clean P&L is of the same positions: each day's VaR is compared with what they made on the next day.",
    "Risk actors warm up from the catalog with what lies before the first day of the run.",
)


def write_catalog(folder: Path, market: Market) -> None:
    """Write instruments and bars, whole history, into a new catalog; an older one of this backtest goes."""
    mark = folder / MARK
    if folder.exists() and not mark.exists():
        raise InputError(f"`out` must not hold a catalog of somebody else's, {folder} is one")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.touch()
    write_prices(folder, market.instruments, map(market.bars, range(len(market.instruments))))


def run_config(folder: Path, market: Market, options: BacktestOptions) -> CatalogRun:
    """Return the run as configuration: it could as well come from a file."""
    return CatalogRun(
        catalog=folder,
        venue=str(VENUE),
        oms_type="HEDGING",
        currency="USD",
        starting_cash=STARTING_CASH,
        leverage=10.0,
        bar_types=tuple(bar_types(market)),
        actors=actors(market, options),
        strategies=strategies(market, options),
        streamed=(RiskReport, RiskBreach),
        start=int(market.ts[0]),
        end=int(market.ts[-1]),
    )


def actors(market: Market, options: BacktestOptions) -> tuple[Importable, ...]:
    """Return the engine's config and one risk actor's for each model."""
    engine = {"device": options.device, "seed": options.seed}
    shared = {
        "bar_types": bar_types(market),
        "window": WINDOW,
        "min_observations": MIN_OBSERVATIONS,
        "warm_up": True,
        "scenarios": options.scenarios,
        "seed": options.seed,
        "var_limit": {BUDGET_LEVEL: VAR_LIMIT},
    }
    return (
        _actor("MetalEngineActor", "MetalEngineConfig", engine),
        *(
            _actor("RiskActor", "RiskActorConfig", shared | {"component_id": source_of(model), "model": model})
            for model in options.models
        ),
    )


def strategies(market: Market, options: BacktestOptions) -> tuple[Importable, ...]:
    """Return the configs of the four strategies."""
    shared = {"bar_types": bar_types(market), "notional": NOTIONAL, "flatten_on_stop": False}
    budget = {"notional": 10 * NOTIONAL, "var_budget": VAR_BUDGET, "level": BUDGET_LEVEL, "start_notional": 10_000.0}
    scaled = shared | budget | {"source": source_of(options.models[0])}
    return (
        _strategy("rsi_reversion", "RSIReversion", shared | {"order_id_tag": "RSI"}),
        _strategy("macd_trend", "MACDTrend", shared | {"order_id_tag": "MACD"}),
        _strategy("bollinger_reversion", "BollingerReversion", shared | {"order_id_tag": "BOLL"}),
        _strategy("risk_scaled", "RiskScaled", scaled | {"order_id_tag": "RISK"}),
    )


def bar_types(market: Market) -> list[str]:
    """Return the bar types as text, the way that a config file has them."""
    return [str(bar_type) for bar_type in market.bar_types]


def _actor(actor: str, config: str, settings: dict[str, Any]) -> Importable:
    room = "nautilus_metal.actors"
    return Importable(f"{room}:{actor}", f"{room}:{config}", settings)


def _strategy(module: str, name: str, settings: dict[str, Any]) -> Importable:
    path = f"strategies.{module}:{name}"
    return Importable(path, f"{path}Config", settings)


def run(options: BacktestOptions) -> int:
    """Run the backtest and write its outputs.

    Parameters
    ----------
    options : BacktestOptions
        The user's choices.

    Returns
    -------
    int
        The exit code.
    """
    market = us_indices(options.start, options.end)
    folder = prepare(options) / "catalog"
    write_catalog(folder, us_indices(None, None))
    node = CatalogNode(run_config(folder, market, options))
    try:
        progress = progress_of(options, len(market.ts))
        listener = Listener(RISK_REPORT_TOPIC, market.bar_types[-1], progress)
        node.add_actor(listener)
        _, seconds = timed(node.run, progress)
        portfolio = portfolio_facts(node.cache, node.portfolio)
    finally:
        node.dispose()
    reports, breaches = (
        read_streamed(folder, "backtest", node.instance_id, kind) for kind in (RiskReport, RiskBreach)
    )
    with ReportWriter(options.out / REPORTS, RiskReport) as writer:
        for report in reports:
            writer.add(report)
    settings = run_settings(NOTIONAL, VAR_BUDGET, BUDGET_LEVEL) | {
        "reports heard": listener.heard,
        "reports read back from the stream": len(reports),
        f"crossings of the VaR limit of {VAR_LIMIT:,.0f} USD": len(breaches),
    }
    return finish(
        options,
        title_of("Portfolio risk by configuration: S&P 500 and Nasdaq", market),
        judged(collect(reports), options, market),
        market,
        seconds,
        portfolio,
        settings,
        NOTES,
    )


if __name__ == "__main__":
    sys.exit(script_main("node_config", run))
