"""From a market and the settings of a HedgeActor to its hedge: what may be traded, and how much of it."""

import math
from dataclasses import replace

import numpy as np

from nautilus_metal.actors.bar_history import BarHistory
from nautilus_metal.actors.hedge_config import TARGETS, HedgeActorConfig, of_underlying
from nautilus_metal.actors.hedge_market import Market, nearest_options
from nautilus_metal.risk import Book, Position
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.greeks import book_greeks
from nautilus_metal.risk.hedge_terms import INFEASIBLE, UNNEEDED, HedgeInstrument, HedgeResult
from nautilus_metal.risk.hedging import exposure_hedge
from nautilus_metal.risk.scenario_hedges import minimum_es_hedge, minimum_variance_hedge
from nautilus_metal.risk.scenario_pnl import scenario_pnl


def hedge(config: HedgeActorConfig, market: Market, history: BarHistory) -> tuple[HedgeResult, list[HedgeInstrument]]:
    """Find the trades against the risk of what is held and has a value, and what there was to choose from.

    Parameters
    ----------
    config : HedgeActorConfig
        The target, bands and limits.
    market : Market
        The moment.
    history : BarHistory
        What scenarios are made from.

    Raises
    ------
    InputError
        If prices or a history fit no formula.
    """
    instruments = [_instrument(config, market, name) for name in _candidates(config, market)]
    lines = [(quantity, market.lines[name].unit) for name, quantity in market.held.items() if name in market.lines]
    held = [replace(unit, quantity=quantity * unit.quantity) for quantity, unit in lines]
    if not held and not market.uncovered:
        return nothing("nothing is held", UNNEEDED), instruments
    if not held:
        return nothing("nothing that is held can be valued"), instruments
    if TARGETS[config.target]:
        return _banded(config, market, held, instruments), instruments
    return _fitted(config, market, held, instruments, history), instruments


def nothing(reason: str, status: str = INFEASIBLE) -> HedgeResult:
    """The answer without trades."""
    return HedgeResult(status, reason, {}, {}, {}, 0.0, 0.0, 0.0)


def exposures(config: HedgeActorConfig, market: Market, positions: list[Position]) -> Array:
    r"""Exposures of each position, shape (exposures of the target, positions): delta, gamma, vega.

    Each is the standard deviation of the P&L that it makes when the underlying's return x and the volatility's change
    are normal with deviations `spot_move` and `volatility_move`: of :math:`\Delta S x`, of :math:`\tfrac12 \Gamma S^2
    (x^2 - 1)`, which is :math:`\Gamma S^2 m^2 / \sqrt 2`, and of vega.
    """
    greeks = book_greeks(Book(positions, config.base_currency, market.xrates))
    spot, volatility = (
        of_underlying(move, market.underlying) or 0.0 for move in (config.spot_move, config.volatility_move)
    )
    rows = (greeks.cash_delta * spot, greeks.cash_gamma * spot**2 / math.sqrt(2), greeks.vega * volatility)
    return np.stack(rows[: len(TARGETS[config.target])])


def _banded(
    config: HedgeActorConfig, market: Market, held: list[Position], instruments: list[HedgeInstrument]
) -> HedgeResult:
    """Bring exposures back into their bands."""
    units = [market.lines[one.name].unit for one in instruments]
    table = exposures(config, market, [*held, *units])
    book = table[:, : len(held)].sum(axis=1).tolist()
    names = TARGETS[config.target]
    return exposure_hedge(dict(zip(names, book, strict=True)), instruments, table[:, len(held) :], config.bands)


def _fitted(
    config: HedgeActorConfig,
    market: Market,
    held: list[Position],
    instruments: list[HedgeInstrument],
    history: BarHistory,
) -> HedgeResult:
    """Find the trades of least risk on the scenarios."""
    name = market.underlying
    reason = history.window.uncovered([name], config.min_observations).get(name)
    if reason is not None:
        return nothing(f"no scenarios of {name}: {reason}")
    units = [market.lines[one.name].unit for one in instruments]
    pnl = scenario_pnl(
        Book([*held, *units], config.base_currency, market.xrates),
        history.window.returns([name]),
        config.model,
        config.horizon,
        config.scenarios,
        config.seed,
        sampler=config.sampler,
        periods_per_year=config.periods_per_year,
        vol_of_vol=config.vol_of_vol,
        spot_vol_correlation=config.spot_vol_correlation,
        volatility_returns=history.volatility_changes(config.volatility_indices, [name], config.min_observations),
        **config.model_options,
    )
    book, table = pnl[: len(held)].sum(axis=0), pnl[len(held) :]
    if config.target == "minimum_variance":
        return minimum_variance_hedge(book, instruments, table, config.cost_weight)
    return minimum_es_hedge(book, instruments, table, config.level, config.cost_weight)


def _candidates(config: HedgeActorConfig, market: Market) -> list[str]:
    names = [name for name in config.instruments[market.underlying] if name in market.lines]
    if config.target == "delta":
        return names
    own = {name: quantity for name, quantity in market.own.items() if config.hedger is not None}
    others = {name for name, quantity in market.held.items() if quantity != own.get(name, 0.0)}
    names += nearest_options(market, config.option_days, config.option_strikes, others | set(names))
    options = [name for name, line in market.lines.items() if line.unit.option is not None and line.quoted]
    return names + [name for name in options if name in own and name not in names]


def _instrument(config: HedgeActorConfig, market: Market, name: str) -> HedgeInstrument:
    line = market.lines[name]
    option = line.unit.option is not None
    default = config.option_limit if option and config.option_limit is not None else math.inf
    limit = config.limits.get(name, default)
    return HedgeInstrument(name, line.cost, line.lot, market.own.get(name, 0.0), limit)
