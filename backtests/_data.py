"""Real prices that come with Python packages: nothing is downloaded, nothing is copied into this repository."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from nautilus_trader.model import Bar, BarType, InstrumentId, Price, Quantity, Symbol, Venue
from numpy.typing import NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.host.backtest import USD, Equity, make_bars

VENUE = Venue("SIM")
CLOSE_HOUR_UTC = 21  # a bar carries the time of New York's winter close
SETTLED_VOLUME = 1e9  # where the data has no volume: enough for any order here to fill at the close
LEAST_DAYS = 300


@dataclass(frozen=True, eq=False)
class Market:
    """Daily bars of several instruments on the same days; D days, N instruments.

    Attributes
    ----------
    instruments : tuple of Equity
        The instruments, all on the venue SIM and in US dollars.
    bar_types : tuple of BarType
        One per instrument.
    ts : ndarray of int64, shape (D,)
        UNIX nanoseconds of each close.
    open, high, low, close, volume : ndarray, shape (D, N)
        As the bars have them, rounded to the instruments' price precision.
    """

    instruments: tuple[Equity, ...]
    bar_types: tuple[BarType, ...]
    ts: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    @property
    def names(self) -> tuple[str, ...]:
        """Instrument IDs as text."""
        return tuple(str(instrument.id) for instrument in self.instruments)

    def bars(self, column: int) -> list[Bar]:
        """Make the bars of one instrument, in order of time."""
        prices = [rows[:, column] for rows in (self.open, self.high, self.low, self.close)]
        return make_bars(
            self.bar_types[column], self.instruments[column], prices, self.volume[:, column], self.ts
        )


def sp500_stocks(start: date | None, end: date | None) -> Market:
    """Load 20 stocks of the S&P 500, 1990-01-02 to 2022-12-28, from skfolio's bundled data set.

    The data are closes, adjusted for splits and dividends, to a tenth of a cent. Open, high and low of a bar are its
    close: no range within the day is invented, and an order on a bar fills at its close.
    """
    try:
        from skfolio.datasets import load_sp500_dataset
    except ImportError:
        raise InputError(_missing("skfolio")) from None
    frame = _window(load_sp500_dataset(), start, end)
    close = frame.to_numpy(dtype=np.float64)
    return _market(list(frame.columns), frame.index, [close] * 4, np.full_like(close, SETTLED_VOLUME), precision=4)


def us_indices(start: date | None, end: date | None) -> Market:
    """Load the S&P 500 and the Nasdaq Composite, 1999-01-04 to 2018-12-31, from arch's bundled data.

    Real open, high, low, close and volume. An index cannot be traded: a unit stands for a fund that follows it.
    """
    try:
        import arch.data.nasdaq
        import arch.data.sp500
    except ImportError:
        raise InputError(_missing("arch")) from None
    frames = [_window(module.load(), start, end) for module in (arch.data.sp500, arch.data.nasdaq)]
    columns = [np.column_stack([frame[name] for frame in frames]).astype(np.float64) for name in
               ("Open", "High", "Low", "Close", "Volume")]  # fmt: skip
    return _market(["SP500", "NASDAQ"], frames[0].index, columns[:4], columns[4], precision=2)


def _missing(package: str) -> str:
    return f"this backtest's prices come with {package}: pip install 'nautilus_metal[examples]'"


def _window(frame: Any, start: date | None, end: date | None) -> Any:
    first, last = frame.index[0].date(), frame.index[-1].date()
    chosen = frame.loc[str(start or first) : str(end or last)]
    if len(chosen) < LEAST_DAYS:
        raise InputError(
            f"`start` and `end` must leave at least {LEAST_DAYS} days of the data ({first} to {last}), "
            f"{start or first} to {end or last} leaves {len(chosen)}"
        )
    return chosen


def _market(
    tickers: list[str], index: Any, prices: list[NDArray[np.float64]], volume: NDArray[np.float64], precision: int
) -> Market:
    if not all(np.isfinite(rows).all() and (rows > 0).all() for rows in prices):
        raise InputError("the data set's prices must be finite and above 0: this version of it is another one")
    ts = index.to_numpy().astype("datetime64[D]").astype(np.int64) * 86_400 * 10**9 + CLOSE_HOUR_UTC * 3600 * 10**9
    instruments = tuple(_equity(ticker, precision) for ticker in tickers)
    bar_types = tuple(BarType.from_str(f"{instrument.id}-1-DAY-LAST-EXTERNAL") for instrument in instruments)
    rounded = [np.round(rows, precision) for rows in prices]
    return Market(instruments, bar_types, ts, *rounded, volume)


def _equity(ticker: str, precision: int) -> Equity:
    return Equity(
        instrument_id=InstrumentId(Symbol(ticker), VENUE),
        raw_symbol=Symbol(ticker),
        currency=USD,
        price_precision=precision,
        price_increment=Price(10.0**-precision, precision),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )
