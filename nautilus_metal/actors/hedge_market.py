"""What a HedgeActor sees of a running system: positions and instruments on one underlying, valued at their quotes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nautilus_metal.errors import InputError
from nautilus_metal.host import InstrumentId, exchange_rate, last_price
from nautilus_metal.kernels.implied_volatility import REASONS, implied_volatility
from nautilus_metal.risk import Book, Option, Position
from nautilus_metal.risk.greeks import book_greeks
from nautilus_metal.risk.hedge_terms import HedgeInstrument

_NS_PER_DAY = 86_400 * 10**9
_NS_PER_YEAR = 365 * _NS_PER_DAY
_KINDS = {1: "call", 2: "put"}  # the host's option kinds


@dataclass(frozen=True, slots=True)
class Quoted:
    """An instrument of the market with what one unit of it is worth.

    Attributes
    ----------
    name : str
        The instrument ID.
    unit : Position
        One unit, in the book's terms.
    cost : float
        Of trading one unit: half the spread and the taker's fee, in the instrument's currency.
    lot : float
        Trades are whole multiples of it.
    """

    name: str
    unit: Position
    cost: float
    lot: float


@dataclass(frozen=True, slots=True)
class Terms:
    """How the market is valued: rates, the age up to which a quote is good, and the time."""

    underlying: str
    rate: float
    dividend_yield: float
    max_age_ns: int
    now: int


@dataclass(frozen=True)
class Market:
    """One moment: what is held and what may be traded, all on one underlying.

    Attributes
    ----------
    held : mapping of str to float
        Net signed quantity by instrument, of all strategies.
    own : mapping of str to float
        The part of it that the hedging strategy holds.
    quoted : mapping of str to Quoted
        Everything of these and of the candidates that has a value.
    uncovered : mapping of str to str
        What is held and has none, with the reason.
    xrates : mapping of str to float
        To the base currency.
    """

    held: Mapping[str, float]
    own: Mapping[str, float]
    quoted: Mapping[str, Quoted]
    uncovered: Mapping[str, str]
    xrates: Mapping[str, float]


def read_market(cache: Any, terms: Terms, linear: Sequence[str], hedger: str | None, base: str) -> Market:
    """Read positions and quotes of everything that moves with the underlying.

    Parameters
    ----------
    cache : Cache
        The system's.
    terms : Terms
        How to value it.
    linear : sequence of str
        Instruments that move with the underlying one for one: itself, its future, a fund.
    hedger : str, optional
        ID of the strategy whose positions are the hedge; all positions where not given.
    base : str
        The currency of amounts.
    """
    spot = _spot(cache, terms, linear)
    held, own = _positions(cache, terms, linear, hedger)
    options = [one for one in cache.instruments() if _underlying(one) == terms.underlying]
    alive = [one for one in options if one.expiration_ns > terms.now]
    expired = {str(one.id) for one in options} - {str(one.id) for one in alive}
    held = {name: quantity for name, quantity in held.items() if name not in expired}
    quoted, problems = _options(cache, terms, alive, spot)
    for name in linear:
        line = _linear(cache, terms, name)
        if isinstance(line, Quoted):
            quoted[name] = line
        else:
            problems[name] = line
    rates: dict[str, float] = {}
    for currency in {line.unit.currency for line in quoted.values()}:
        rate = 1.0 if currency == base else exchange_rate(cache, currency, base, {})
        if rate is not None:
            rates[currency] = rate
    for name in [name for name, line in quoted.items() if line.unit.currency not in rates]:
        problems[name] = f"no exchange rate from {quoted.pop(name).unit.currency} to {base}"
    uncovered = {name: problems.get(name, "not known") for name in held if name not in quoted}
    return Market(held, own, quoted, uncovered, rates)


def exposures(names: Sequence[str], market: Market, base: str, spot_move: float, vol_move: float) -> torch.Tensor:
    r"""Exposures of one unit of each instrument, float64, shape (3, instruments): delta, gamma, vega.

    Each is the standard deviation of the P&L that it makes when the underlying's return and the volatility's change
    are normal with deviations `spot_move` and `vol_move`: of :math:`\Delta S x`, of :math:`\tfrac12 \Gamma S^2 (x^2 -
    1)`, which is :math:`\Gamma S^2 m^2 / \sqrt 2`, and of vega.
    """
    greeks = book_greeks(Book([market.quoted[name].unit for name in names], base, market.xrates))
    rows = (
        greeks.cash_delta * spot_move,
        greeks.cash_gamma * spot_move**2 / 2**0.5,
        greeks.vega * vol_move,
    )
    return torch.stack([torch.from_numpy(row) for row in rows])


def hedge_instrument(name: str, market: Market, limit: float) -> HedgeInstrument:
    """Describe what may be traded, its cost in the base currency."""
    line = market.quoted[name]
    rate = market.xrates[line.unit.currency]
    return HedgeInstrument(name, line.cost * rate, line.lot, market.own.get(name, 0.0), limit)


def nearest_options(market: Market, days: tuple[float, float], strikes: int, taken: set[str]) -> list[str]:
    """Choose out-of-the-money options: for each expiry within `days`, the strikes nearest to the spot."""
    by_expiry: dict[float, list[tuple[float, str]]] = {}
    for name, line in market.quoted.items():
        option = line.unit.option
        if option is None or name in taken or not days[0] <= option.expiry * 365 <= days[1]:
            continue
        if (option.strike - option.spot) * option.sign >= 0:
            by_expiry.setdefault(option.expiry, []).append((abs(option.strike / option.spot - 1), name))
    return [name for _, lines in sorted(by_expiry.items()) for _, name in sorted(lines)[:strikes]]


def _underlying(instrument: Any) -> str | None:
    if not hasattr(instrument, "strike_price"):
        return None
    return f"{instrument.underlying}.{instrument.id.venue}"


def _positions(
    cache: Any, terms: Terms, linear: Sequence[str], hedger: str | None
) -> tuple[dict[str, float], dict[str, float]]:
    held: dict[str, float] = {}
    own: dict[str, float] = {}
    for position in cache.positions_open():
        name = str(position.instrument_id)
        on_underlying = name in linear or name == terms.underlying
        if not on_underlying and _underlying(cache.instrument(position.instrument_id)) != terms.underlying:
            continue
        held[name] = held.get(name, 0.0) + position.signed_qty
        if hedger is None or str(position.strategy_id) == hedger:
            own[name] = own.get(name, 0.0) + position.signed_qty
    return {name: quantity for name, quantity in held.items() if quantity}, own


def _spot(cache: Any, terms: Terms, linear: Sequence[str]) -> float:
    spot = last_price(cache, terms.underlying)
    if spot is None or not spot > 0:
        raise InputError(f"`underlying` must have a price above 0, {terms.underlying} has {spot}")
    return spot


def _linear(cache: Any, terms: Terms, name: str) -> Quoted | str:
    instrument = cache.instrument(InstrumentId.from_str(name))
    if instrument is None:
        return "not in the cache"
    quote = _fresh(cache, terms, instrument.id)
    price = last_price(cache, name) if quote is None else 0.5 * (quote[0] + quote[1])
    if not price:
        return "no price"
    spread = 0.0 if quote is None else 0.5 * (quote[1] - quote[0])
    multiplier = float(instrument.multiplier)
    unit = Position(name, 1.0, price, multiplier, instrument.quote_currency.code)
    cost = (spread + float(instrument.taker_fee) * price) * multiplier
    return Quoted(name, unit, cost, float(instrument.size_increment))


def _fresh(cache: Any, terms: Terms, instrument_id: InstrumentId) -> tuple[float, float] | None:
    """Bid and ask of a two-sided quote that is young enough."""
    tick = cache.quote_tick(instrument_id)
    if tick is None or terms.now - tick.ts_event > terms.max_age_ns:
        return None
    bid, ask = float(tick.bid_price), float(tick.ask_price)
    return (bid, ask) if 0 <= bid <= ask and ask > 0 else None


def _options(
    cache: Any, terms: Terms, instruments: Sequence[Any], spot: float
) -> tuple[dict[str, Quoted], dict[str, str]]:
    """Value options at the volatility that their quotes' mid implies."""
    quotes = [(one, _fresh(cache, terms, one.id)) for one in instruments]
    lines = [(one, quote) for one, quote in quotes if quote is not None]
    problems = {str(one.id): "no fresh quote" for one, quote in quotes if quote is None}
    if not lines:
        return {}, problems
    column = lambda values: torch.tensor(list(values), dtype=torch.float64)  # noqa: E731
    expiry = [(one.expiration_ns - terms.now) / _NS_PER_YEAR for one, _ in lines]
    kinds = [_KINDS[int(one.option_kind)] for one, _ in lines]
    found = implied_volatility(
        column(0.5 * (bid + ask) for _, (bid, ask) in lines),
        spot,
        column(float(one.strike_price) for one, _ in lines),
        column(expiry),
        terms.rate,
        terms.dividend_yield,
        column(1.0 if kind == "call" else -1.0 for kind in kinds),
    )
    quoted = {}
    market = zip(lines, expiry, kinds, found.volatility.tolist(), found.reason.tolist(), strict=True)
    for (one, (bid, ask)), years, kind, volatility, code in market:
        # without time value the option moves with its payoff, which is what a volatility of zero says
        if code not in (0, 3):
            problems[str(one.id)] = f"no implied volatility: {REASONS[code]}"
            continue
        option = Option(
            terms.underlying, kind, float(one.strike_price), years, volatility if code == 0 else 0.0, spot,
            terms.rate, terms.dividend_yield,
        )  # fmt: skip
        mid, multiplier = 0.5 * (bid + ask), float(one.multiplier)
        unit = Position(str(one.id), 1.0, mid, multiplier, one.quote_currency.code, option)
        cost = (0.5 * (ask - bid) + float(one.taker_fee) * mid) * multiplier
        quoted[str(one.id)] = Quoted(str(one.id), unit, cost, float(one.size_increment))
    return quoted, problems
