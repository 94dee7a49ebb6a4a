"""What the forecast backtest came to, as facts and as the text at its end."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtests._common import STARTING_CASH
from backtests._data import Market
from nautilus_metal.models import Evaluation, TrainingResult
from nautilus_metal.models.walk_forward import Score
from nautilus_metal.report.run import date_text
from nautilus_metal.report.terminal import table

CHECKPOINT, FORECASTS, SUMMARY = "model.pt", "forecasts.parquet", "summary.json"
NOTIONAL = 10_000.0

NOTES = (
    "Prices: 20 stocks of the S&P 500 from skfolio's bundled data set, closes adjusted for splits and dividends; "
    "survivors, chosen by the data set's makers: profits are no evidence for the strategy.",
    "Orders fill at the close of the bar that they answer to, in any size, without fees, spread or financing.",
    "No setting of network, features or strategy was searched for: they are one guess.",
)


@dataclass(frozen=True, eq=False)
class Findings:
    """What one run came to.

    Attributes
    ----------
    folds : list of str
        First days of the folds.
    trained_to : str
        The last day that the network of the backtest knows.
    evaluation : Evaluation
        The walk forward.
    published : tuple of Score
        Of the forecasts in the backtest.
    results : list of TrainingResult
        By fold.
    portfolio : dict
        What the strategy made.
    milliseconds : list of float
        By inference of the backtest.
    recipe : dict
        How bars became inputs.
    seconds : float
        Wall time of everything.
    """

    folds: list[str]
    trained_to: str
    evaluation: Evaluation
    published: tuple[Score, ...]
    results: list[TrainingResult]
    portfolio: dict[str, Any]
    milliseconds: list[float]
    recipe: dict[str, Any]
    seconds: float

    def summary(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return {
            "folds": self.folds,
            "trained_to": self.trained_to,
            "trained_on": list(self.evaluation.trained),
            "epochs": [result.epochs_run for result in self.results],
            "device": self.results[0].device,
            "walk_forward": [asdict(score) | {"verdict": score.verdict} for score in self.evaluation.scores],
            "published": [asdict(score) | {"verdict": score.verdict} for score in self.published],
            "beats_naive": self.evaluation.beats_naive,
            "inferences": len(self.milliseconds),
            "median_milliseconds": float(np.median(self.milliseconds)),
            "portfolio": self.portfolio,
            "recipe": self.recipe,
            "seconds": self.seconds,
            "notes": NOTES,
        }

    def text(self, market: Market, out: Path) -> str:
        """Return what is printed at the end."""
        facts = self.summary()
        count, profit = len(self.evaluation.samples), self.portfolio["profit"]
        return "\n\n".join(
            [
                f"Forecasts of the next day's return: {len(market.names)} stocks, {self.folds[0]} to "
                f"{date_text(market.ts[-1])}",
                f"Walk forward, trained anew before {', '.join(self.folds)} ({count:,} forecasts)\n"
                f"{table(score_rows(self.evaluation.scores))}",
                f"As published in the backtest, by the network of {self.trained_to}\n"
                f"{table(score_rows(self.published))}",
                conclusion(self.evaluation),
                f"Forecast and trend traded, {NOTIONAL:,.0f} USD a position: profit {profit:,.0f} USD on "
                f"{STARTING_CASH:,} by {self.portfolio['orders']:,} orders, before any cost",
                f"{facts['inferences']:,} inferences of up to {len(market.names)} stocks on {facts['device']}: "
                f"median {facts['median_milliseconds']:.2f} ms; "
                f"epochs trained {', '.join(map(str, facts['epochs']))}; all in {self.seconds:.0f} s",
                "\n".join(NOTES),
                f"Outputs: {out / SUMMARY}, {out / FORECASTS}, {out / CHECKPOINT}",
            ]
        )


def score_rows(scores: tuple[Score, ...]) -> list[tuple[str, ...]]:
    """Return a heading and a row for each forecast."""
    rows = [("forecast", "RMSE (bp)", "right sign", "model's skill", "MSE difference / SE", "the model is")]
    for s in scores:
        ratio = "" if s.difference is None or not s.standard_error else f"{s.difference / s.standard_error:+.2f}"
        rows.append(
            (
                s.name,
                f"{1e4 * s.rmse:.2f}",
                "n/a" if s.hit_rate is None else f"{s.hit_rate:.2%}",
                "" if s.skill is None else f"{s.skill:+.3%}",
                ratio,
                s.verdict,
            )
        )
    return rows


def conclusion(evaluation: Evaluation) -> str:
    """Say what the walk forward came to."""
    verdicts = {score.name: score.verdict for score in evaluation.scores[1:]}
    if evaluation.beats_naive:
        return "The LSTM beats every naive forecast by more than two standard errors."
    failed = " and ".join(name for name, verdict in verdicts.items() if verdict != "better")
    return f"The LSTM does not beat the forecast by {failed}: nothing here says that it knows the next day's return."
