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


def stocks(names: list[str], history_from: str, play_from: str, play_to: str) -> ReplayData:
    """Return daily closes of S&P 500 stocks as bars of 250 ms, each after a quote around its close.

    Days are put a quarter of a second apart; the first of `play_from` comes at 2000-01-01T12:00:00. A quote's spread
    of 0.04% and its size are made up, as the data set has closes only.

    Parameters
    ----------
    names : list of str
        Tickers of skfolio's bundled set.
    history_from, play_from, play_to : str
        ISO dates: first day of history, first and last day to play.
    """
    market = sp500_stocks(date.fromisoformat(history_from), date.fromisoformat(play_to))
    days = market.ts.astype("datetime64[ns]").astype("datetime64[D]")
    before = int(np.searchsorted(days, np.datetime64(play_from)))
    index = pd.Timestamp("2000-01-01T12:00", tz="UTC") + STEP * (np.arange(len(days)) - before)
    bars, quotes, chosen = {}, {}, []
    for column, instrument in enumerate(market.instruments):
        if instrument.id.symbol.value not in names:
            continue
        close = market.close[:, column]
        chosen.append(instrument)
        prices = dict.fromkeys(("open", "high", "low", "close"), close)
        bars[f"{instrument.id}-{BAR}"] = pd.DataFrame(prices | {"volume": SIZE}, index=index)
        sides = {"bid_price": close * (1 - HALF_SPREAD), "ask_price": close * (1 + HALF_SPREAD)}
        sizes = {"bid_size": SIZE, "ask_size": SIZE}
        quotes[instrument.id] = pd.DataFrame(sides | sizes, index=index - pd.Timedelta("1ms"))
    return ReplayData.from_frames(chosen, bars, quotes)
