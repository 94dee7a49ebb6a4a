"""A straddle on the S&P 500 sold every month and held to expiry: what a daily hedge removes, costs and leaves.

Runs by `python backtests/option_hedge.py` and by `nautilus-metal backtest option_hedge`. Option quotes are synthetic.
With `--model filtered_historical` it also runs the hedges of least variance and of least expected shortfall on the
scenarios of that model, which takes several minutes.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from nautilus_trader.model import Money  # noqa: E402

from backtests._common import Listener, prepare, progress_of  # noqa: E402
from backtests._option_ledger import SOURCES, Fill, Ledger, Marks, fill_of, ledger, marks_of  # noqa: E402
from backtests._option_market import (  # noqa: E402
    FUND,
    HISTORY,
    INDEX,
    INDEX_BARS,
    QUOTE_NS,
    SETTLE_NS,
    VENUE,
    VIX,
    VIX_BARS,
    OptionMarket,
    load,
)
from nautilus_metal.actors import HedgeActor, HedgeActorConfig  # noqa: E402
from nautilus_metal.cli.backtest import script_main  # noqa: E402
from nautilus_metal.cli.options import DEFAULT_MODELS, BacktestOptions  # noqa: E402
from nautilus_metal.errors import InputError  # noqa: E402
from nautilus_metal.host import open_positions  # noqa: E402
from nautilus_metal.host.backtest import (  # noqa: E402
    USD,
    AccountType,
    BacktestEngine,
    OmsType,
    add_instruments,
    fills_of,
    no_fees,
    silent_engine,
)
from nautilus_metal.messages import HEDGE_REQUEST_TOPIC, HedgeRequest  # noqa: E402
from nautilus_metal.report.hedge_page import write_hedge_page  # noqa: E402
from nautilus_metal.report.hedge_picture import write_hedge_picture  # noqa: E402
from nautilus_metal.report.hedge_run import (  # noqa: E402
    UNHEDGED,
    HedgeRun,
    hedge_closing_text,
    write_hedge_summary,
)
from nautilus_metal.report.hedge_saved import write_hedge_days  # noqa: E402
from nautilus_metal.report.saved import DAILY_PNL  # noqa: E402
from strategies.hedger import Hedger, HedgerConfig  # noqa: E402
from strategies.short_straddle import ShortStraddle, ShortStraddleConfig  # noqa: E402

STARTING_CASH = 1_000_000
CONTRACTS = 10
BANDS = {"delta": 500.0, "gamma": 1_500.0, "vega": 1_500.0}
FUND_LIMIT, OPTION_LIMIT = 100_000.0, 500.0
SELLER, HEDGER = "ShortStraddle-SELL", "Hedger-HEDGE"
LABELS = {
    UNHEDGED: "Unhedged straddles",
    "delta": "Delta hedge",
    "delta_gamma_vega": "Delta-gamma-vega hedge",
    "minimum_variance": "Minimum-variance hedge",
    "minimum_es": "Minimum-shortfall hedge",
}
MAIN = "delta_gamma_vega"
SCENARIO_HEDGES = ("minimum_variance", "minimum_es")  # ten times as long as the others: on request

WARNING = (
    "OPTION QUOTES ARE SYNTHETIC: Black-Scholes prices at the day's VIX with a fixed skew, not market prices. The "
    "index and the VIX are real. Profits say nothing about selling options; the share of risk removed is the result."
)
NOTES = (
    "Index: closes of the S&P 500 (arch's bundled data, 1999 to 2018). Volatility: the VIX where arch's bundled "
    "series has it, 2014 to 2018, which is the default period; for earlier days, on request, an exponentially "
    "weighted volatility of the index' returns (decay 0.94) times 1.15 stands in for it.",
    "Quotes: volatility(K, T) = VIX (1 - 0.10 m + 0.02 m^2) with m = ln(K/S) / (VIX sqrt(T)) within 3, the same for "
    "every expiry (a flat term structure); no interest, no dividends. Bid and ask lie 0.05 + 0.5% of the price "
    "around that. Strikes come every 25 points within 6% of the index, for the next three monthly expiries.",
    "As all volatilities move with one number, options hedge each other's vega better here than in a market.",
    "The fund is a stand-in for one that follows the index, a tenth of it, half a cent of spread on either side, "
    "without dividends, fees or cost of borrowing.",
    f"Each month {CONTRACTS} calls and {CONTRACTS} puts (multiplier 100) of the strike nearest to the index are sold "
    "for the next monthly expiry; they are settled in cash at the close of their last day by the engine. One minute "
    "after each close everything is quoted, sold and hedged; orders fill at bid and ask.",
    "Unhedged is the short straddles alone, their own costs included; a hedged book is the straddles and everything "
    "that the Hedger trades, from its own run of the engine. All hedges are executed, not computed afterwards.",
    "By exposures: a hedge is traded when one leaves its band, in the deviation of a day's P&L for an index move of "
    f"1% and a volatility move of 1 point: {', '.join(f'{name} {band:,.0f}' for name, band in BANDS.items())} USD; "
    "the cheapest trades back into the bands are asked for.",
    "The delta hedge trades the fund alone: it cannot reach gamma and vega, which are most of the risk that it "
    "leaves. The others trade the fund and out-of-the-money options that are not the ones sold.",
    "By scenarios (where `--model` asks for it): the minimum-variance and the minimum-shortfall hedge (at 97.5%) "
    "trade each day where that lowers the risk of the next day by more than it costs. The scenarios are those of a "
    f"RiskActor, from the index' returns of up to {HISTORY:,} days before, with volatilities that move as the VIX did"
    " against the index until then. In the first 20 days of VIX they take volatilities as fixed.",
    "The shortfall leaves out what an option is expected to lose by its decay: that hedge buys more options than are "
    "sold, most of all just before an expiry, and pays for them.",
    f"Limits: {FUND_LIMIT:,.0f} shares of the fund and {OPTION_LIMIT:,.0f} contracts of each option.",
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one run of the engine left behind."""

    fills: Sequence[Fill]
    requests: Sequence[HedgeRequest]
    equity: float
    counts: dict[str, Any]
    seconds: float


def build(market: OptionMarket, target: str, options: BacktestOptions) -> tuple[BacktestEngine, Hedger]:
    """Make the engine with data, seller, hedge actor and hedger: what a user's own script would hold."""
    engine = silent_engine()
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(STARTING_CASH, USD)],
        default_leverage=Decimal(20),
        fee_model=no_fees(),
    )
    add_instruments(engine, market.instruments())
    engine.add_data(market.data(), sort=False)
    engine.sort_data()
    engine.add_actor(hedge_actor(target, options))
    last = int(market.midnight[-1]) + SETTLE_NS
    engine.add_strategy(
        ShortStraddle(
            ShortStraddleConfig(
                underlying=INDEX, trigger=FUND, contracts=CONTRACTS, last_expiry_ns=last, order_id_tag="SELL"
            )
        )
    )
    hedger = Hedger(HedgerConfig(limits={str(FUND): FUND_LIMIT}, default_limit=OPTION_LIMIT, order_id_tag="HEDGE"))
    engine.add_strategy(hedger)
    return engine, hedger


def hedge_actor(target: str, options: BacktestOptions) -> HedgeActor:
    """Make the actor that asks for a hedge after each day's quotes."""
    return HedgeActor(
        HedgeActorConfig(
            instruments={str(INDEX): (str(FUND),)},
            target=target,
            bands=BANDS,
            triggers=(FUND,),
            hedger=HEDGER,
            limits={str(FUND): FUND_LIMIT},
            option_limit=OPTION_LIMIT,
            bar_types=(INDEX_BARS, VIX_BARS),
            volatility_indices={str(INDEX): str(VIX)},
            model=options.models[0],
            scenarios=options.scenarios,
            seed=options.seed,
        )
    )


def chosen(options: BacktestOptions) -> dict[str, str]:
    """Books to compare, with their labels: those fitted on scenarios where the user names a model for them."""
    wanted = options.models != DEFAULT_MODELS
    return {target: label for target, label in LABELS.items() if wanted or target not in SCENARIO_HEDGES}


def execute(market: OptionMarket, marks: Marks, target: str, options: BacktestOptions) -> Outcome:
    """Run the engine once, with one hedge."""
    engine, hedger = build(market, target, options)
    requests: list[HedgeRequest] = []
    progress = progress_of(options, len(market.days), target, unit="hedges")
    engine.add_actor(Listener(HEDGE_REQUEST_TOPIC, INDEX_BARS, progress, requests.append))
    start = perf_counter()
    try:
        engine.run()
        seconds = perf_counter() - start
        fills = [fill_of(event) for event in fills_of(engine.cache)]
        equity = _equity(engine, marks)
        statuses = [request.status for request in requests]
        counts = {
            "requests": len(requests),
            "executed": hedger.executed,
            "refused": sum(hedger.refused.values()),
            "infeasible": statuses.count("infeasible"),
            "fills_of_the_hedge": sum(fill.strategy == HEDGER for fill in fills),
            "option_contracts_traded": round(
                sum(abs(f.quantity) for f in fills if f.strategy == HEDGER and f.instrument != str(FUND))
            ),
        }
    finally:
        if progress:
            progress.finish()
        engine.dispose()
    return Outcome(fills, requests, equity, counts, seconds)


def _equity(engine: BacktestEngine, marks: Marks) -> float:
    """The account's balance with open positions at the last marks.

    The engine books an option's premium as cash when it is traded, and a fund's gain when it is realised.
    """
    balance = engine.portfolio.account(VENUE).balance_total(USD).as_double()
    for position in open_positions(engine.cache):
        column = marks.column[str(position.instrument_id)]
        booked = position.avg_px_open if position.instrument_id == FUND else 0.0
        balance += position.signed_qty * marks.multiplier[column] * (marks.price[-1, column] - booked)
    return float(balance)


def run(options: BacktestOptions) -> int:
    """Run the backtest with each hedge and write its outputs.

    Parameters
    ----------
    options : BacktestOptions
        The user's choices. Where models are named, the two hedges fitted on scenarios run too, on those of the first.

    Returns
    -------
    int
        The exit code.
    """
    market = load(options.start, options.end)
    prepare(options)
    marks = marks_of(market)
    outcomes = {target: execute(market, marks, target, options) for target in chosen(options) if target != UNHEDGED}
    report = reported(options, market, marks, outcomes)
    write_hedge_summary(report, options.out / "summary.json")
    write_hedge_days(report, options.out / DAILY_PNL)
    write_hedge_page(report, options.out / "report.html")
    write_hedge_picture(report, options.out / "report.png")
    print(hedge_closing_text(report, options.out))
    return 0


def reported(
    options: BacktestOptions, market: OptionMarket, marks: Marks, outcomes: dict[str, Outcome]
) -> HedgeRun:
    """Turn fills into daily P&L by source, for the straddles alone and for each hedged book."""
    whole: dict[str, Ledger] = {t: ledger(outcome.fills, market, marks) for t, outcome in outcomes.items()}
    sold = [fill for fill in outcomes[MAIN].fills if fill.strategy == SELLER]
    if not sold:
        raise InputError("no straddle was sold: `start` and `end` leave no whole month between two expiries")
    books = {UNHEDGED: ledger(sold, market, marks).parts} | {t: book.parts for t, book in whole.items()}
    return HedgeRun(
        name=options.name,
        title=f"Hedged short straddles on the S&P 500, {market.days[0]} to {market.days[-1]}",
        ts=market.midnight + QUOTE_NS,
        sources=SOURCES,
        books=books,
        labels=chosen(options),
        main=MAIN,
        gaps={t: outcomes[t].equity - STARTING_CASH - float(book.pnl.sum()) for t, book in whole.items()},
        counts={t: outcome.counts for t, outcome in outcomes.items()},
        warning=WARNING,
        wall_seconds=sum(outcome.seconds for outcome in outcomes.values()),
        settings={
            **_scenario_settings(options),
            "straddles sold": f"{len({fill.ts for fill in sold if fill.quantity < 0})}, {CONTRACTS} contracts a leg",
            "starting cash": f"{STARTING_CASH:,} USD",
            "days with a VIX": f"{int(market.from_vix.sum()):,} of {len(market.days):,}; a proxy on the others",
            "options listed": f"{len(market.contracts):,}",
            "quotes of options": f"{len(market.quotes):,}",
        },
        notes=NOTES,
    )


def _scenario_settings(options: BacktestOptions) -> dict[str, str]:
    if options.models == DEFAULT_MODELS:
        return {}
    words = f"{options.scenarios:,}, {options.models[0]}, seed {options.seed}"
    return {"scenarios of the last two hedges": words}


if __name__ == "__main__":
    sys.exit(script_main("option_hedge", run))
