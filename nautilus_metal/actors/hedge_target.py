"""From a market and the settings of a HedgeActor to its hedge: what may be traded, and how much of it."""

import math
from dataclasses import dataclass

import numpy as np

from nautilus_metal.actors.bar_history import BarHistory
from nautilus_metal.actors.hedge_config import TARGETS, HedgeActorConfig, of_underlying
from nautilus_metal.actors.hedge_market import Market, nearest_options
from nautilus_metal.errors import InputError
from nautilus_metal.risk import Book
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.greeks import book_greeks
from nautilus_metal.risk.hedge_terms import INFEASIBLE, UNNEEDED, HedgeInstrument, HedgeResult
from nautilus_metal.risk.hedging import exposure_hedge
from nautilus_metal.risk.scenario_hedges import minimum_es_hedge, minimum_variance_hedge
from nautilus_metal.risk.scenario_pnl import scenario_pnl


@dataclass(frozen=True)
class Moment:
    """What a hedge is found from, of one underlying at one time.

    Attributes
    ----------
    market : Market
        Positions and prices.
    instruments : tuple of HedgeInstrument
        What may be traded.
    returns : ndarray
        History of the underlying, shape (periods, 1); empty where no scenarios are asked for or it is too short.
    volatility_returns : dict of str to ndarray
        Log changes of its volatility index, where it has one.
    missing : str or None
        Why there are no scenarios, where they are asked for.
    failure : str or None
        Why there is no answer at all.
    """

    market: Market
    instruments: tuple[HedgeInstrument, ...]
    returns: Array
    volatility_returns: dict[str, Array]
    missing: str | None
    failure: str | None


def moment_of(config: HedgeActorConfig, market: Market, history: BarHistory) -> Moment:
    """Take what a hedge needs of the system, so that it can be found on another thread."""
    instruments: tuple[HedgeInstrument, ...] = ()
    failure, underlying = None, market.underlying
    try:
        instruments = tuple(hedge_instruments(config, market))
    except InputError as error:  # a price that fits no formula
        failure = str(error)
    if TARGETS[config.target]:
        return Moment(market, instruments, np.zeros((0, 1)), {}, None, failure)
    missing = history.window.uncovered([underlying], config.min_observations).get(underlying)
    returns = np.zeros((0, 1)) if missing else history.window.returns([underlying])
    changes = history.volatility_changes(config.volatility_indices, [underlying], config.min_observations)
    return Moment(market, instruments, returns, changes, missing, failure)


def hedge(config: HedgeActorConfig, moment: Moment) -> HedgeResult:
    """Find the trades against the risk of what is held and has a value; from any thread.

    Prices or a history that fit no formula are an answer with a reason, not the end of a run.
    """
    try:
        return nothing(moment.failure) if moment.failure else _hedge(config, moment)
    except InputError as error:
        return nothing(str(error))


def _hedge(config: HedgeActorConfig, moment: Moment) -> HedgeResult:
    market, instruments = moment.market, moment.instruments
    held = [name for name in market.held if name in market.lines]
    if not held and not market.uncovered:
        return nothing("nothing is held", UNNEEDED)
    if not held:
        return nothing("nothing that is held can be valued")
    names = list(dict.fromkeys([*held, *(one.name for one in instruments)]))
    units = Book([market.lines[name].unit for name in names], config.base_currency, market.xrates)
    quantities = np.array([market.held.get(name, 0.0) for name in names])
    rows = [names.index(one.name) for one in instruments]
    if TARGETS[config.target]:
        table = exposures(config, market.underlying, units)
        book = dict(zip(TARGETS[config.target], (table @ quantities).tolist(), strict=True))
        return exposure_hedge(book, instruments, table[:, rows], config.bands)
    if moment.missing is not None:
        return nothing(f"no scenarios of {market.underlying}: {moment.missing}")
    pnl = _scenarios(config, moment, units)
    if config.target == "minimum_variance":
        return minimum_variance_hedge(quantities @ pnl, instruments, pnl[rows], config.cost_weight)
    return minimum_es_hedge(quantities @ pnl, instruments, pnl[rows], config.level, config.cost_weight)


def nothing(reason: str, status: str = INFEASIBLE) -> HedgeResult:
    """The answer without trades."""
    return HedgeResult(status, reason, {}, {}, {}, 0.0, 0.0, 0.0)


def exposures(config: HedgeActorConfig, underlying: str, book: Book) -> Array:
    r"""Exposures of each position, shape (exposures of the target, positions): delta, gamma, vega.

    Each is the standard deviation of the P&L that it makes when the underlying's return x and the volatility's change
    are normal with deviations `spot_move` and `volatility_move`: of :math:`\Delta S x`, of :math:`\tfrac12 \Gamma S^2
    (x^2 - 1)`, which is :math:`\Gamma S^2 m^2 / \sqrt 2`, and of vega.
    """
    greeks = book_greeks(book)
    spot, volatility = (of_underlying(move, underlying) or 0.0 for move in (config.spot_move, config.volatility_move))
    rows = (greeks.cash_delta * spot, greeks.cash_gamma * spot**2 / math.sqrt(2), greeks.vega * volatility)
    return np.stack(rows[: len(TARGETS[config.target])])


def _scenarios(config: HedgeActorConfig, moment: Moment, book: Book) -> Array:
    """P&L of each position in the scenarios of a VaR, shape (positions, scenarios)."""
    return scenario_pnl(
        book,
        moment.returns,
        config.model,
        config.horizon,
        config.scenarios,
        config.seed,
        sampler=config.sampler,
        periods_per_year=config.periods_per_year,
        vol_of_vol=config.vol_of_vol,
        spot_vol_correlation=config.spot_vol_correlation,
        volatility_returns=moment.volatility_returns,
        **config.model_options,
    )


def hedge_instruments(config: HedgeActorConfig, market: Market) -> list[HedgeInstrument]:
    """What may be traded: the settings' instruments, options near the money, and those that the hedger holds."""
    names = [name for name in config.instruments[market.underlying] if name in market.lines]
    if config.target != "delta":
        own = {name: quantity for name, quantity in market.own.items() if config.hedger is not None}
        others = {name for name, quantity in market.held.items() if quantity != own.get(name, 0.0)}
        names += nearest_options(market, config.option_days, config.option_strikes, others | set(names))
        options = [name for name, line in market.lines.items() if line.unit.option is not None and line.quoted]
        names += [name for name in options if name in own and name not in names]
    return [_instrument(config, market, name) for name in names]


def _instrument(config: HedgeActorConfig, market: Market, name: str) -> HedgeInstrument:
    line = market.lines[name]
    option = line.unit.option is not None
    default = config.option_limit if option and config.option_limit is not None else math.inf
    limit = config.limits.get(name, default)
    return HedgeInstrument(name, line.cost, line.lot, market.own.get(name, 0.0), limit)
