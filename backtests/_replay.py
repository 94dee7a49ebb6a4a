"""Real prices for a live node's replay: one trading day every quarter of a second."""

from datetime import date

import numpy as np
import pandas as pd

from backtests._data import sp500_stocks
from nautilus_metal.live import ReplayData

STEP = pd.Timedelta("250ms")
BAR = "250-MILLISECOND-LAST-EXTERNAL"
HALF_SPREAD = 0.0002
SIZE = 1e6


def stocks(names: list[str], history_from: str, play_from: str, play_to: str, quotes_per_day: int = 1) -> ReplayData:
    """Return daily closes of S&P 500 stocks as bars of 250 ms, each after quotes that end around its close.

    Days are put a quarter of a second apart; the first of `play_from` comes at 2000-01-01T12:00:00. The data set has
    closes only: a quote's spread of 0.04% and its size are made up, and quotes within a day lie on the straight line
    from close to close.

    Parameters
    ----------
    names : list of str
        Tickers of skfolio's bundled set.
    history_from, play_from, play_to : str
        ISO dates: first day of history, first and last day to play.
    quotes_per_day : int, default 1
        Quotes of each stock, evenly spaced, the last one just before the bar.
    """
    market = sp500_stocks(date.fromisoformat(history_from), date.fromisoformat(play_to))
    days = market.ts.astype("datetime64[ns]").astype("datetime64[D]")
    before = int(np.searchsorted(days, np.datetime64(play_from)))
    steps = pd.to_timedelta(STEP.value * (np.arange(len(days)) - before), unit="ns")
    index = pd.Timestamp("2000-01-01T12:00") + steps
    part = np.arange(1, quotes_per_day + 1) / quotes_per_day
    bars, quotes, chosen = {}, {}, []
    for column, instrument in enumerate(market.instruments):
        if instrument.id.symbol.value not in names:
            continue
        close = market.close[:, column]
        chosen.append(instrument)
        prices = dict.fromkeys(("open", "high", "low", "close"), close)
        bars[f"{instrument.id}-{BAR}"] = pd.DataFrame(prices | {"volume": SIZE}, index=index)
        before_close = np.concatenate([close[:1], close[:-1]])
        mid = (before_close[:, None] + (close - before_close)[:, None] * part).ravel()
        offsets = (STEP.value * (part - 1.0)).astype("timedelta64[ns]") - np.timedelta64(1, "ms")
        at = (index.to_numpy()[:, None] + offsets).ravel()
        sides = {"bid_price": mid * (1 - HALF_SPREAD), "ask_price": mid * (1 + HALF_SPREAD)}
        sizes = {"bid_size": SIZE, "ask_size": SIZE}
        quotes[instrument.id] = pd.DataFrame(sides | sizes, index=pd.DatetimeIndex(at))
    return ReplayData.from_frames(chosen, bars, quotes)
