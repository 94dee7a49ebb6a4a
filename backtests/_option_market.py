"""A market of index options: the S&P 500 and its VIX as they were, option quotes made from them.

The index is real, and so is the level of volatility while the bundled VIX has it. No option price is: each is quoted
from Black-Scholes at the VIX of the day, with a skew that does not change over time.
"""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import torch
from nautilus_trader.model import Bar, BarType, InstrumentId, Price, Quantity, QuoteTick, Symbol, Venue
from numpy.typing import NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.host.backtest import (
    USD,
    AssetClass,
    Equity,
    IndexInstrument,
    IndexPriceUpdate,
    OptionContract,
    OptionKind,
)
from nautilus_metal.kernels import black_scholes
from nautilus_metal.risk.option import DAYS_PER_YEAR, YEAR_NS

VENUE = Venue("SIM")
INDEX, FUND, VIX = (InstrumentId(Symbol(name), VENUE) for name in ("SPX", "SPF", "VIX"))
INDEX_BARS, VIX_BARS = (BarType.from_str(f"{name}-1-DAY-LAST-EXTERNAL") for name in (INDEX, VIX))
MULTIPLIER = 100  # of an option
FUND_SHARE = 0.1  # of the index, in one share of the fund

SLOPE, CURVE, FARTHEST = -0.10, 0.02, 3.0  # of the volatility by standardised moneyness
STRIKE_STEP, STRIKE_REACH = 25.0, 0.06  # strikes listed: points apart, and how far around the index
EXPIRIES = 3  # monthly expiries quoted at a time
OPTION_TICK, OPTION_SPREAD, FUND_SPREAD = 0.05, 0.005, 0.005  # half spreads: 0.05 + 0.5% of the price; half a cent
PROXY_DECAY, PROXY_PREMIUM = 0.94, 1.15
FIRST_VIX = date(2014, 1, 3)
LEAST_DAYS = 60
HISTORY = 1_000  # closes of the index before the first day, for scenarios

CLOSE_NS = 21 * 3600 * 10**9  # after midnight UTC: the index closes
SETTLE_NS = CLOSE_NS + 30 * 10**9  # expiring options settle at the close
QUOTE_NS = CLOSE_NS + 60 * 10**9  # everything is quoted, sold and hedged
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Contract:
    """A listed option: name, +1 for a call and -1 for a put, strike, last day, and the first day it is quoted."""

    name: str
    sign: float
    strike: float
    expiry: date
    first: int


@dataclass(frozen=True, eq=False)
class OptionMarket:
    """Days of index, volatility and option quotes; D days, C contracts, R quotes.

    Attributes
    ----------
    days : tuple of date, length D
        Trading days.
    index, volatility : ndarray, shape (D,)
        Close of the index; yearly at-the-money volatility.
    from_vix : ndarray of bool, shape (D,)
        Whether the volatility is the VIX; elsewhere it is the proxy.
    contracts : tuple of Contract, length C
        Everything ever quoted.
    quotes : pandas.DataFrame, R rows
        day, contract (indices), bid, ask, mid, volatility, delta, gamma, vega, theta (of one option on one index).
    history : mapping of date to float
        Closes of the index on the days before, at most `HISTORY`.
    """

    days: tuple[date, ...]
    index: NDArray[np.float64]
    volatility: NDArray[np.float64]
    from_vix: NDArray[np.bool_]
    contracts: tuple[Contract, ...]
    quotes: pd.DataFrame
    history: Mapping[date, float]

    @property
    def midnight(self) -> NDArray[np.int64]:
        """UNIX nanoseconds of each day's beginning, shape (D,)."""
        return _midnight(self.days)

    @property
    def fund(self) -> NDArray[np.float64]:
        """Mid price of the fund, shape (D,)."""
        return np.round(self.index * FUND_SHARE, 3)

    def instruments(self) -> list[Any]:
        """The index, the VIX, the fund that can be traded, and every option."""
        return [_index(INDEX), _index(VIX), _fund(), *(_option(contract) for contract in self.contracts)]

    def data(self) -> list[Any]:
        """Make bars of index and VIX, the index to settle by, and quotes; in order of time, the fund's quote last."""
        size = Quantity.from_int(1_000_000)
        earlier = zip(_midnight(self.history).tolist(), self.history.values(), strict=True)
        made: list[Any] = [_bar(INDEX_BARS, midnight, close) for midnight, close in earlier]
        ids = [InstrumentId(Symbol(contract.name), VENUE) for contract in self.contracts]
        groups = dict(tuple(self.quotes.groupby("day")))
        for day, midnight in enumerate(self.midnight.tolist()):
            ts = midnight + QUOTE_NS
            made.append(_bar(INDEX_BARS, midnight, self.index[day]))
            made.append(_settling(midnight, self.index[day]))
            if self.from_vix[day]:
                made.append(_bar(VIX_BARS, midnight, 100 * self.volatility[day]))
            rows = groups.get(day)
            if rows is not None:
                for i, bid, ask in zip(rows["contract"], rows["bid"], rows["ask"], strict=True):
                    made.append(QuoteTick(ids[i], Price(bid, 2), Price(ask, 2), size, size, ts, ts))
            bid, ask = Price(self.fund[day] - FUND_SPREAD, 3), Price(self.fund[day] + FUND_SPREAD, 3)
            made.append(QuoteTick(FUND, bid, ask, size, size, ts, ts))
        return made


def load(start: date | None, end: date | None) -> OptionMarket:
    """Make the market from arch's bundled S&P 500 (1999 to 2018) and VIX (2014 to 2018).

    Parameters
    ----------
    start, end : date, optional
        First and last day; without them the days that have a VIX. On earlier days the volatility is a proxy: an
        exponentially weighted one of the index' returns (decay 0.94) times 1.15.

    Raises
    ------
    InputError
        If arch is not installed, or too few days are left.
    """
    try:
        import arch.data.sp500
        import arch.data.vix
    except ImportError:
        message = "this backtest's prices come with arch: pip install 'nautilus_metal[examples]'"
        raise InputError(message) from None
    close = arch.data.sp500.load()["Close"].round(2)
    vix = arch.data.vix.load()["vix"].reindex(close.index) / 100
    returns = np.log(close).diff()
    proxy = PROXY_PREMIUM * np.sqrt(252 * (returns**2).ewm(alpha=1 - PROXY_DECAY, min_periods=60).mean())
    volatility = vix.fillna(proxy).dropna()
    chosen = volatility.loc[str(start or FIRST_VIX) : str(end or "2018-12-31")]
    if len(chosen) < LEAST_DAYS:
        raise InputError(
            f"`start` and `end` must leave at least {LEAST_DAYS} days of the data ({volatility.index[0].date()} to "
            f"{volatility.index[-1].date()}), {start} to {end} leaves {len(chosen)}"
        )
    days = tuple(stamp.date() for stamp in chosen.index)
    earlier = close.loc[close.index < chosen.index[0]].iloc[-HISTORY:]
    index = close.loc[chosen.index].to_numpy(dtype=np.float64)
    level, known = chosen.to_numpy(dtype=np.float64), vix.loc[chosen.index].notna().to_numpy()
    contracts = _listed(days, index)
    history = {stamp.date(): float(price) for stamp, price in earlier.items()}
    return OptionMarket(days, index, level, known, contracts, _quotes(days, index, level, contracts), history)


def smile(at_the_money: Any, spot: Any, strike: Any, years: Any) -> Any:
    r"""Volatility of a strike: :math:`\sigma (1 - 0.1 m + 0.02 m^2)`, m = ln(K/S) / (sigma sqrt(T)) within 3.

    Arrays or tensors of one shape.
    """
    floor = np.maximum(years, 1 / DAYS_PER_YEAR)
    moneyness = np.clip(np.log(strike / spot) / (at_the_money * np.sqrt(floor)), -FARTHEST, FARTHEST)
    return at_the_money * (1 + SLOPE * moneyness + CURVE * moneyness**2)


def third_friday(year: int, month: int) -> date:
    """Return a month's third Friday, the last day of its index options.

    >>> third_friday(2018, 6).isoformat()
    '2018-06-15'
    """
    first = calendar.weekday(year, month, 1)
    return date(year, month, 1 + (calendar.FRIDAY - first) % 7 + 14)


def _expiries(days: tuple[date, ...]) -> list[date]:
    """Last days of the monthly options; the trading day before where a Friday is none."""
    known, found = set(days), []
    year, month = days[0].year, days[0].month
    for _ in range((days[-1].year - year) * 12 + days[-1].month - month + 1 + EXPIRIES):
        day = third_friday(year, month)
        while day not in known and days[0] < day <= days[-1]:
            day -= timedelta(days=1)
        found.append(day)
        year, month = year + month // 12, month % 12 + 1
    return [day for day in found if day > days[0]]


def _listed(days: tuple[date, ...], index: NDArray[np.float64]) -> tuple[Contract, ...]:
    """List strikes around the index as it comes near them, never ahead of it."""
    expiries, listed = _expiries(days), {}
    for i, (day, spot) in enumerate(zip(days, index.tolist(), strict=True)):
        low = int(np.ceil(spot * (1 - STRIKE_REACH) / STRIKE_STEP))
        high = int(np.floor(spot * (1 + STRIKE_REACH) / STRIKE_STEP))
        for expiry in [one for one in expiries if one > day][:EXPIRIES]:
            for step in range(low, high + 1):
                listed.setdefault((expiry, step * STRIKE_STEP), i)
    return tuple(
        Contract(f"SPX{expiry:%y%m%d}{letter}{strike:.0f}", sign, strike, expiry, first)
        for (expiry, strike), first in listed.items()
        for letter, sign in (("C", 1.0), ("P", -1.0))
    )


def _quotes(
    days: tuple[date, ...], index: NDArray[np.float64], level: NDArray[np.float64], contracts: tuple[Contract, ...]
) -> pd.DataFrame:
    """Quote every contract from its listing to the day before its last."""
    ordinals = np.array([day.toordinal() for day in days])
    spans = [np.arange(c.first, np.searchsorted(ordinals, c.expiry.toordinal())) for c in contracts]
    day = np.concatenate(spans)
    contract = np.repeat(np.arange(len(contracts)), [len(span) for span in spans])
    column = {name: np.array([getattr(c, name) for c in contracts])[contract] for name in ("sign", "strike")}
    last = np.array([c.expiry.toordinal() for c in contracts])[contract]
    years = ((last - ordinals[day]) * DAY_NS + SETTLE_NS - QUOTE_NS) / YEAR_NS
    volatility = smile(level[day], index[day], column["strike"], years)
    arguments = [torch.from_numpy(row) for row in (index[day], column["strike"], years)]
    market = (*arguments, 0.0, torch.from_numpy(volatility), 0.0, torch.from_numpy(column["sign"]))
    price = black_scholes.price(*market).numpy()
    greeks = black_scholes.greeks(*market)
    half = np.minimum(OPTION_TICK + OPTION_SPREAD * price, 0.5 * price)
    bid = np.maximum(np.round(price - half, 2), 0.01)
    ask = np.maximum(np.round(price + half, 2), bid + 0.01)
    frame = {"day": day, "contract": contract, "bid": bid, "ask": ask, "mid": 0.5 * (bid + ask)}
    frame |= {"volatility": volatility, **{name: getattr(greeks, name).numpy() for name in _GREEKS}}
    return pd.DataFrame(frame).sort_values(["day", "contract"], ignore_index=True)


_GREEKS = ("delta", "gamma", "vega", "theta")


def _midnight(days: Iterable[date]) -> NDArray[np.int64]:
    return np.array(list(days), dtype="datetime64[D]").astype(np.int64) * DAY_NS


def _bar(bar_type: BarType, midnight: int, close: float) -> Bar:
    price, ts = Price(close, 2), midnight + CLOSE_NS
    return Bar(bar_type, price, price, price, price, Quantity.from_int(1_000_000), ts, ts)


def _settling(midnight: int, close: float) -> IndexPriceUpdate:
    """The price at which options settle; of a bar only NautilusTrader 1.x takes it."""
    return IndexPriceUpdate(INDEX, Price(close, 2), midnight + CLOSE_NS, midnight + CLOSE_NS)


def _index(name: InstrumentId) -> IndexInstrument:
    return IndexInstrument(
        instrument_id=name,
        raw_symbol=name.symbol,
        currency=USD,
        price_precision=2,
        size_precision=0,
        price_increment=Price.from_str("0.01"),
        size_increment=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def _fund() -> Equity:
    return Equity(
        instrument_id=FUND,
        raw_symbol=FUND.symbol,
        currency=USD,
        price_precision=3,
        price_increment=Price.from_str("0.001"),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def _option(contract: Contract) -> OptionContract:
    last = datetime(contract.expiry.year, contract.expiry.month, contract.expiry.day, tzinfo=UTC)
    return OptionContract(
        instrument_id=InstrumentId(Symbol(contract.name), VENUE),
        raw_symbol=Symbol(contract.name),
        asset_class=AssetClass.INDEX,
        currency=USD,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        multiplier=Quantity.from_int(MULTIPLIER),
        lot_size=Quantity.from_int(1),
        underlying=INDEX.symbol.value,
        option_kind=OptionKind.CALL if contract.sign > 0 else OptionKind.PUT,
        strike_price=Price(contract.strike, 2),
        activation_ns=0,
        expiration_ns=int(last.timestamp()) * 10**9 + SETTLE_NS,
        ts_event=0,
        ts_init=0,
    )
