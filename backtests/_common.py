"""What the backtests share: hearing the run, judging its reports and writing its outputs."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nautilus_trader.model import BarType

from backtests._data import VENUE, Market
from nautilus_metal.cli.options import BacktestOptions
from nautilus_metal.engine import shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor
from nautilus_metal.host.backtest import USD
from nautilus_metal.report.findings import explained
from nautilus_metal.report.page import write_page
from nautilus_metal.report.picture import write_picture
from nautilus_metal.report.progress import Progress
from nautilus_metal.report.run import RunReport, date_text, write_summary
from nautilus_metal.report.saved import DAILY_PNL, write_daily_pnl
from nautilus_metal.report.series import RiskSeries
from nautilus_metal.report.terminal import closing_text
from nautilus_metal.report.verdict import ModelResult, judge
from nautilus_metal.risk import MODELS

REPORTS = "risk_reports.parquet"
STARTING_CASH = 1_000_000
WINDOW, MIN_OBSERVATIONS = 1_000, 250
HOLDOUT_FROM = "2006-01-01"  # no setting of a risk model was chosen on prices from this day on


def prepare(options: BacktestOptions, settings: Sequence[str] = ()) -> Path:
    """Check what can be checked before any work, `settings` being those known, and make the folder of the outputs."""
    options.check_models(MODELS)
    options.check_settings(settings)
    if find_spec("matplotlib") is None:
        raise InputError("report.png needs matplotlib: pip install 'nautilus_metal[examples]'")
    shared_engine(options.device)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"`out` must be a folder that can be written, {options.out}: {error.strerror}") from None
    return options.out


def source_of(model: str) -> str:
    """Return the ID of the risk actor of a model."""
    return f"RISK-{model}"


class Listener(Actor):
    """Hears the messages of one topic: passes them on, and draws progress.

    Parameters
    ----------
    topic : str
        Of the messages, such as `RISK_REPORT_TOPIC`.
    last : BarType
        Its bar marks a day as done.
    progress : Progress or None
        What is drawn.
    *receivers : callable
        Each is called with every message.

    Attributes
    ----------
    heard : int
        Messages so far.
    """

    def __init__(
        self, topic: str, last: BarType, progress: Progress | None, *receivers: Callable[[Any], None]
    ) -> None:
        super().__init__()
        self.heard = 0
        self._topic, self._last, self._progress, self._receivers = topic, last, progress, receivers

    def on_start(self) -> None:
        """Listen."""
        self.msgbus.subscribe(self._topic, self.on_message)
        if self._progress:
            self.subscribe_bars(self._last)

    def on_bar(self, bar: Any) -> None:
        """Note that a day is done."""
        if self._progress:
            self._progress.day(date_text(bar.ts_event))

    def on_message(self, message: Any) -> None:
        """Pass a message on."""
        self.heard += 1
        for receive in self._receivers:
            receive(message)
        if self._progress:
            self._progress.tick()


def progress_of(options: BacktestOptions, days: int, part: str = "", unit: str = "risk ticks") -> Progress | None:
    """Return what draws the progress of a run; None where the user wants none."""
    return Progress(f"{options.name} {part}".strip(), days, unit=unit) if options.progress else None


def timed(action: Callable[[], Any], progress: Progress | None) -> tuple[Any, float]:
    """Run a backtest; return what `action` does, and the wall seconds."""
    gc.collect()
    gc.freeze()  # bars and orders stay: they are not to be searched for garbage over and over
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    start = time.perf_counter()
    try:
        result = action()
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        if progress:
            progress.finish()
    return result, time.perf_counter() - start


def title_of(heading: str, market: Market) -> str:
    """Return a heading with the days that were replayed."""
    return f"{heading}, {date_text(market.ts[0])} to {date_text(market.ts[-1])}"


def portfolio_facts(cache: Any, portfolio: Any) -> dict[str, Any]:
    """Return what the strategies made of their money, open positions at the last close."""
    balance = portfolio.account(VENUE).balance_total(USD).as_double()
    unrealized = portfolio.unrealized_pnls(VENUE).get(USD)
    equity = balance + (unrealized.as_double() if unrealized else 0.0)
    return {
        "starting_cash": float(STARTING_CASH),
        "final_equity": equity,
        "profit": equity - STARTING_CASH,
        "orders": cache.orders_total_count(),
        "positions_open_at_end": cache.positions_open_count(),
    }


def judged(
    series: Sequence[RiskSeries], options: BacktestOptions, market: Market
) -> list[ModelResult]:
    """Score every model's reports on the prices that followed, in the order asked for."""
    start = int(datetime.fromisoformat(HOLDOUT_FROM).replace(tzinfo=UTC).timestamp()) * 10**9
    by_model = {entry.model: entry for entry in series}
    return [
        judge(by_model[model], market.ts, market.names, market.close, start)
        for model in options.models
        if model in by_model
    ]


def run_settings(notional: float, var_budget: float, level: float) -> dict[str, Any]:
    """Describe the four strategies and the return window, for the run's facts."""
    return {
        "strategies": f"RSI reversion, MACD trend and Bollinger reversion with {notional:,.0f} USD a position; "
        f"trends scaled to a {level:.0%} VaR of {var_budget:,.0f} USD of the whole book",
        "return window": f"{WINDOW:,} days, at least {MIN_OBSERVATIONS}",
    }


def finish(
    options: BacktestOptions,
    title: str,
    results: Sequence[ModelResult],
    market: Market,
    seconds: float,
    portfolio: Mapping[str, Any],
    settings: Mapping[str, Any],
    notes: Sequence[str],
) -> int:
    """Write summary, page and picture, and print the closing table."""
    if not results:
        raise InputError("the run made no risk report: it is too short")
    run = RunReport(
        name=options.name,
        title=title,
        results=results,
        main=options.models[0],
        days=len(market.ts),
        wall_seconds=seconds,
        portfolio=portfolio,
        settings=settings,
        notes=notes,
        holdout_from=HOLDOUT_FROM if any(result.holdout for result in results) else None,
        **explained(results[0].series, market.ts, market.names, market.close, WINDOW, shared_engine(options.device)),
    )
    write_daily_pnl(results, options.out / DAILY_PNL)
    write_summary(run, options.out / "summary.json")
    write_page(run, options.out / "report.html")
    write_picture(run, options.out / "report.png")
    print(closing_text(run, options.out))
    return 0
