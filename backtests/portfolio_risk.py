"""33 years of 20 real stocks: four strategies trade them, a Monte Carlo VaR is stated every day and put to the test.

Runs by `python backtests/portfolio_risk.py` and by `nautilus-metal backtest portfolio_risk`.
"""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from nautilus_trader.model import Money  # noqa: E402

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
from backtests._data import VENUE, Market, sp500_stocks  # noqa: E402
from nautilus_metal.actors import MetalEngineActor, MetalEngineConfig, RiskActor, RiskActorConfig  # noqa: E402
from nautilus_metal.cli.backtest import script_main  # noqa: E402
from nautilus_metal.cli.options import BacktestOptions  # noqa: E402
from nautilus_metal.errors import InputError  # noqa: E402
from nautilus_metal.host import StrategyConfig  # noqa: E402
from nautilus_metal.host.backtest import (  # noqa: E402
    USD,
    AccountType,
    BacktestEngine,
    OmsType,
    add_instruments,
    no_fees,
    silent_engine,
)
from nautilus_metal.messages import RISK_REPORT_TOPIC, RiskReport  # noqa: E402
from nautilus_metal.report.series import SeriesCollector  # noqa: E402
from nautilus_metal.report.store import ReportWriter  # noqa: E402
from strategies.bollinger_reversion import BollingerReversion, BollingerReversionConfig  # noqa: E402
from strategies.macd_trend import MACDTrend, MACDTrendConfig  # noqa: E402
from strategies.risk_scaled import RiskScaled, RiskScaledConfig  # noqa: E402
from strategies.rsi_reversion import RSIReversion, RSIReversionConfig  # noqa: E402

STRATEGIES: dict[str, tuple[Any, Any]] = {
    "RSI": (RSIReversion, RSIReversionConfig),
    "MACD": (MACDTrend, MACDTrendConfig),
    "BOLL": (BollingerReversion, BollingerReversionConfig),
    "RISK": (RiskScaled, RiskScaledConfig),
}
NOTIONAL = 10_000.0
VAR_BUDGET, BUDGET_LEVEL = 20_000.0, 0.99

NOTES = (
    "Prices: 20 stocks of the S&P 500 from skfolio's bundled data set (1990 to 2022), closes adjusted for splits and "
    "dividends. skfolio marks the set as not for commercial use; nothing of it is in this repository.",
    "The stocks are survivors, chosen by the data set's makers: profits are no evidence for the strategies. The "
    "test of the VaR does not depend on that, as it is made on whatever was held.",
    "There are closes only: a bar's open, high and low are its close. Early prices, adjusted for splits, are small "
    "(0.14 for BBY in 1990) and given to a tenth of a cent, which rounds their returns by up to 0.7%.",
    "Orders fill at the close of the bar that they answer to, in any size, without fees, spread or financing.",
    "A report's VaR is of the positions at the close before the risk-scaled strategy has answered to that report. "
    "Clean P&L is of the same positions: each day's VaR is compared with what they made on the next day.",
    f"The risk-scaled strategy keeps the 99% VaR of the main model near {VAR_BUDGET:,.0f} USD: the bands are level "
    "because the positions are not.",
    "Days on which nothing was held, or nothing had enough history, are left out of the tests and counted.",
)


def build(market: Market, options: BacktestOptions) -> BacktestEngine:
    """Make the engine with data, risk actors and strategies: what a user's own script would hold."""
    engine = silent_engine()
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.HEDGING,  # netting would keep, and read again, a copy of every position closed
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(STARTING_CASH, USD)],
        default_leverage=Decimal(10),
        fee_model=no_fees(),
    )
    add_instruments(engine, market.instruments)
    for column in range(len(market.instruments)):
        engine.add_data(market.bars(column), sort=False)
    engine.sort_data()
    engine.add_actor(MetalEngineActor(MetalEngineConfig(device=options.device, seed=options.seed)))
    for model in options.models:
        engine.add_actor(risk_actor(model, market, options))
    for strategy in strategies(market, options):
        engine.add_strategy(strategy)
    return engine


def risk_actor(model: str, market: Market, options: BacktestOptions) -> RiskActor:
    """Make the actor that states the risk of everything held, by one model, after each day's close."""
    return RiskActor(
        RiskActorConfig(
            component_id=source_of(model),
            bar_types=market.bar_types,
            model=model,
            window=WINDOW,
            min_observations=MIN_OBSERVATIONS,
            scenarios=options.scenarios,
            seed=options.seed,
        )
    )


def strategies(market: Market, options: BacktestOptions) -> list[Any]:
    """Make the strategies, each on every instrument: four, or those that the setting `strategies` names."""
    shared: dict[str, Any] = {"bar_types": market.bar_types, "notional": NOTIONAL, "flatten_on_stop": False}
    scaled = {"notional": 10 * NOTIONAL, "var_budget": VAR_BUDGET, "level": BUDGET_LEVEL}
    own = {"RISK": scaled | {"source": source_of(options.models[0])}}
    chosen = options.settings.get("strategies", list(STRATEGIES))
    made = []
    for tag in [chosen] if isinstance(chosen, str) else chosen:
        if tag not in STRATEGIES:
            raise InputError(f"`strategies` must be among {', '.join(STRATEGIES)}, was {tag}")
        strategy, config = STRATEGIES[tag]
        settings = shared | own.get(tag, {}) | given_settings(tag, options)
        made.append(strategy(config(**settings, order_id_tag=tag)))
    return made


def settings_of(tag: str) -> list[str]:
    """Name the fields of a strategy's config that may be set."""
    fixed = {*get_type_hints(StrategyConfig), "bar_types", "source"}
    return [name for name in get_type_hints(STRATEGIES[tag][1]) if name not in fixed]


def given_settings(tag: str, options: BacktestOptions) -> dict[str, Any]:
    """Return what was set of a strategy, ``TAG.field``, each of the type that its config says."""
    hints, found = get_type_hints(STRATEGIES[tag][1]), {}
    for name in settings_of(tag):
        if f"{tag}.{name}" in options.settings:
            try:
                found[name] = msgspec.convert(options.settings[f"{tag}.{name}"], hints[name])
            except msgspec.ValidationError as error:
                raise InputError(f"`{tag}.{name}`: {error}") from None
    return found


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
    market = sp500_stocks(options.start, options.end)
    prepare(options, ["strategies", *(f"{tag}.{name}" for tag in STRATEGIES for name in settings_of(tag))])
    engine = build(market, options)
    try:
        with ReportWriter(options.out / REPORTS, RiskReport) as writer:
            collector = SeriesCollector()
            progress = progress_of(options, len(market.ts))
            engine.add_actor(
                Listener(RISK_REPORT_TOPIC, market.bar_types[-1], progress, collector.add, writer.add)
            )
            _, seconds = timed(engine.run, progress)
        portfolio = portfolio_facts(engine.cache, engine.portfolio)
    finally:
        engine.dispose()
    return finish(
        options,
        title_of(f"Portfolio risk: {len(market.instruments)} stocks", market),
        judged(collector.series(), options, market),
        market,
        seconds,
        portfolio,
        run_settings(NOTIONAL, VAR_BUDGET, BUDGET_LEVEL),
        NOTES,
    )


if __name__ == "__main__":
    sys.exit(script_main("portfolio_risk", run))
