"""An LSTM forecasts 20 real stocks: judged by walk forward against naive forecasts, then traded after its training.

Runs by `python backtests/forecast.py` and by `nautilus-metal backtest forecast`.
"""

import json
import sys
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from nautilus_trader.model import Money  # noqa: E402

from backtests._common import STARTING_CASH, Listener, portfolio_facts, prepare, progress_of  # noqa: E402
from backtests._data import VENUE, Market, sp500_stocks  # noqa: E402
from backtests._forecast_findings import CHECKPOINT, FORECASTS, NOTIONAL, SUMMARY, Findings  # noqa: E402
from nautilus_metal.actors import (  # noqa: E402
    ForecastActor,
    ForecastActorConfig,
    MetalEngineActor,
    MetalEngineConfig,
)
from nautilus_metal.cli.backtest import script_main  # noqa: E402
from nautilus_metal.cli.options import BacktestOptions  # noqa: E402
from nautilus_metal.engine import shared_engine  # noqa: E402
from nautilus_metal.errors import InputError  # noqa: E402
from nautilus_metal.host.backtest import (  # noqa: E402
    USD,
    AccountType,
    BacktestEngine,
    OmsType,
    add_instruments,
    no_fees,
    silent_engine,
)
from nautilus_metal.messages import FORECAST_TOPIC, Forecast  # noqa: E402
from nautilus_metal.models import (  # noqa: E402
    Recipe,
    Samples,
    TrainingResult,
    create_financial_lstm,
    create_metal_model_wrapper,
    create_metal_training_manager,
    make_samples,
    walk_forward,
)
from nautilus_metal.models.walk_forward import Predict, compare  # noqa: E402
from nautilus_metal.report.run import date_text  # noqa: E402
from nautilus_metal.report.store import ReportWriter  # noqa: E402
from strategies.forecast_trend import ForecastTrend, ForecastTrendConfig  # noqa: E402

START = date(2010, 1, 1)
LEAST_PAST = 750  # days to be trained on
FOLDS = 4
RECIPE = Recipe(columns=("return", "week", "month"), window=60, length=10)
HIDDEN, EPOCHS, PATIENCE, BATCH = 16, 6, 2, 512
HELD_OUT = 0.15  # of the past, its end: decides which epoch is best


def first_day(market: Market, options: BacktestOptions) -> int:
    """Return the position of the backtest's first day, or raise an `InputError` if little is before or after it."""
    start = options.start or START
    midnight = int(datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp()) * 10**9
    at = int(np.searchsorted(market.ts, midnight))
    if at < LEAST_PAST or at + 10 * FOLDS > len(market.ts):
        raise InputError(
            f"`start` must leave {LEAST_PAST} days before it to be trained on and {10 * FOLDS} after it, "
            f"{start} leaves {at} and {len(market.ts) - at}"
        )
    return at


class Trainer:
    """Trains one network for each fold; the first one, on what is known before the backtest, is kept in a file."""

    def __init__(self, market: Market, options: BacktestOptions) -> None:
        self._market, self._options = market, options
        self._engine = shared_engine(options.device, seed=options.seed)
        self.results: list[TrainingResult] = []
        self.trained_to: list[int] = []

    def __call__(self, past: Samples) -> Predict:
        """Train on all but the end of the past, which decides the best epoch, and return the network's forecasts."""
        known = int(past.at.max()) + past.horizon  # the last bar that any target needs
        cut = int(np.quantile(past.at, 1.0 - HELD_OUT))
        train, judge = past.known_at(cut), past.between(cut, known)
        torch.manual_seed(self._options.seed)
        model = create_financial_lstm(len(RECIPE.columns), HIDDEN, 1, 1)
        first = not self.results
        self.trained_to.append(int(self._market.ts[known]))
        self.results.append(
            create_metal_training_manager(model, self._engine).train_model(
                train.inputs,
                train.targets,
                validation=(judge.inputs, judge.targets),
                epochs=EPOCHS,
                patience=PATIENCE,
                batch_size=BATCH,
                seed=self._options.seed,
                checkpoint=self._options.out / CHECKPOINT if first else None,
                scaler=RECIPE,
                facts={"horizon": past.horizon, "trained_to": self.trained_to[-1]},
                progress=self._options.progress,
            )
        )
        wrapped = create_metal_model_wrapper(model, self._engine)
        wrapped.batch_size = 8 * BATCH
        return lambda inputs: wrapped(inputs)[:, 0].double().numpy()


def build(market: Market, start: int, options: BacktestOptions) -> BacktestEngine:
    """Make the engine: bars from as long before the start as a forecast needs, the actor and the strategy."""
    engine = silent_engine()
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.HEDGING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(STARTING_CASH, USD)],
        default_leverage=Decimal(10),
        fee_model=no_fees(),
    )
    add_instruments(engine, market.instruments)
    for column in range(len(market.instruments)):
        engine.add_data(market.bars(column)[start - RECIPE.needed :], sort=False)
    engine.sort_data()
    engine.add_actor(MetalEngineActor(MetalEngineConfig(device=options.device, seed=options.seed)))
    path = str(options.out / CHECKPOINT)
    engine.add_actor(ForecastActor(ForecastActorConfig(checkpoint=path, bar_types=market.bar_types, warm_up=False)))
    engine.add_strategy(
        ForecastTrend(
            ForecastTrendConfig(bar_types=market.bar_types, notional=NOTIONAL, flatten_on_stop=False)
        )
    )
    return engine


def trade(market: Market, start: int, options: BacktestOptions) -> tuple[list[Forecast], dict[str, Any]]:
    """Run the backtest; return every forecast that was published, and what the strategy made."""
    engine, heard = build(market, start, options), list[Forecast]()
    progress = progress_of(options, len(market.ts) - start + RECIPE.needed, unit="forecasts")
    try:
        with ReportWriter(options.out / FORECASTS, Forecast) as writer:
            engine.add_actor(Listener(FORECAST_TOPIC, market.bar_types[-1], progress, heard.append, writer.add))
            engine.run()
        return heard, portfolio_facts(engine.cache, engine.portfolio)
    finally:
        if progress:
            progress.finish()
        engine.dispose()


def published(market: Market, heard: list[Forecast], samples: Samples) -> tuple[Samples, np.ndarray]:
    """Return the samples that were forecast in the backtest, and the forecasts in their order."""
    values = {(m.ts_event, name): row["value"] for m in heard for name, row in m.forecasts.items()}
    keys = [(int(market.ts[at]), market.names[s]) for at, s in zip(samples.at, samples.series, strict=True)]
    chosen = np.array([key in values for key in keys])
    return samples.where(chosen), np.array([values[key] for key in keys if key in values])


def run(options: BacktestOptions) -> int:
    """Train, walk forward, trade, and write what came of it.

    Parameters
    ----------
    options : BacktestOptions
        The user's choices; risk models and scenarios have no part in this backtest.

    Returns
    -------
    int
        The exit code.
    """
    clock = time.perf_counter()
    market = sp500_stocks(None, options.end)
    start = first_day(market, options)
    prepare(options)
    bars = np.stack([market.open.T, market.high.T, market.low.T, market.close.T, market.volume.T], axis=1)
    samples = make_samples(bars, RECIPE)
    trainer = Trainer(market, options)
    starts = [start + fold * (len(market.ts) - start) // FOLDS for fold in range(FOLDS)]
    evaluation = walk_forward(samples, trainer, starts)
    heard, portfolio = trade(market, start, options)
    found = Findings(
        folds=[date_text(market.ts[at]) for at in starts],
        trained_to=date_text(trainer.trained_to[0]),
        evaluation=evaluation,
        published=compare(*published(market, heard, samples)),
        results=trainer.results,
        portfolio=portfolio,
        milliseconds=[message.milliseconds for message in heard if message.milliseconds is not None],
        recipe=RECIPE.to_dict(),
        seconds=time.perf_counter() - clock,
    )
    (options.out / SUMMARY).write_text(json.dumps(found.summary(), indent=2) + "\n", encoding="utf-8")
    print(found.text(market, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(script_main("forecast", run))
