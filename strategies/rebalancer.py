"""Hold target weights: whole lots for the AllocationTargets that are heard, sells before buys."""

from collections import Counter
from math import floor
from typing import Any

from nautilus_trader.model import InstrumentId

from nautilus_metal.host import (
    OrderSide,
    PriceType,
    Strategy,
    StrategyConfig,
    TimeInForce,
    open_positions,
    price_of,
)
from nautilus_metal.messages import ALLOCATION_TARGET_TOPIC, AllocationTarget
from strategies.positions import require

NANOSECONDS = 1_000_000_000


class RebalancerConfig(StrategyConfig, frozen=True, kw_only=True):
    """Settings of `Rebalancer`.

    Parameters
    ----------
    source : str, optional
        Listen only to targets of this actor.
    capital : float, optional
        What weights are shares of, in the account's currency; the account's equity where not given.
    reserve : float
        Share of the capital that stays uninvested, for costs and for prices that move while orders fill.
    band : float
        A weight that is off by less than this is left alone, unless it is to be zero.
    execute_inaccurate : bool
        Whether to trade targets whose certificate misses its tolerance.
    max_age_seconds : float
        An older target is not traded.
    attempts : int
        How often what is left unfilled is tried, at most, for one target: of what lowers positions, and of the rest.
    flatten_on_stop : bool
        Close what is held when the strategy stops.

    Raises
    ------
    InputError
        A setting is outside what is said above.
    """

    source: str | None = None
    capital: float | None = None
    reserve: float = 0.01
    band: float = 0.0
    execute_inaccurate: bool = False
    max_age_seconds: float = 86_400.0
    attempts: int = 3
    flatten_on_stop: bool = False

    def __post_init__(self) -> None:
        require(self.capital is None or self.capital > 0.0, "capital", "above 0", self.capital)
        require(0.0 <= self.reserve < 1.0, "reserve", "at least 0 and under 1", self.reserve)
        require(0.0 <= self.band < 1.0, "band", "at least 0 and under 1", self.band)
        require(self.max_age_seconds > 0.0, "max_age_seconds", "above 0 seconds", self.max_age_seconds)
        require(self.attempts >= 1, "attempts", "at least 1", self.attempts)


class Rebalancer(Strategy):
    """Trades from what it holds to a target's weights, and waits for its orders before it trades again.

    Orders are immediate-or-cancel. What lowers a position goes first; what raises one goes when the former are done,
    sized by the cash that there is then. What a thin market leaves unfilled is tried again up to `attempts` times. An
    instrument whose order was refused is left alone until the next target. The newest target that comes while orders
    work is traded when they are done. An instrument that the target calls uncovered stays as it is.

    Attributes
    ----------
    executed : int
        Targets that led to an order.
    refused : Counter
        How many targets, or instruments of one, were not traded, by reason.
    """

    def __init__(self, config: RebalancerConfig) -> None:
        super().__init__(config)
        self.executed = 0
        self.refused: Counter[str] = Counter()
        self._clear()

    def _clear(self) -> None:
        self._goal: dict[InstrumentId, float] = {}
        self._next: AllocationTarget | None = None
        self._working: set[Any] = set()
        self._blocked: set[InstrumentId] = set()
        self._rounds = [0, 0]
        self._sending = False

    def on_start(self) -> None:
        """Listen to targets."""
        self.msgbus.subscribe(ALLOCATION_TARGET_TOPIC, self.on_allocation_target)

    def on_stop(self) -> None:
        """Stop listening; flatten as configured."""
        self.msgbus.unsubscribe(ALLOCATION_TARGET_TOPIC, self.on_allocation_target)
        self._clear()
        if self.config.flatten_on_stop:
            for instrument_id in dict.fromkeys(position.instrument_id for position in self._positions()):
                self.close_all_positions(instrument_id)

    def on_reset(self) -> None:
        """Forget what happened."""
        self.executed = 0
        self.refused.clear()
        self._clear()

    def on_allocation_target(self, target: AllocationTarget) -> None:
        """Trade towards a target, or keep it until orders are done, or count why not."""
        if self.config.source is not None and target.source != self.config.source:
            return
        if self._working:
            self.refused["overtaken"] += self._next is not None
            self._next = target
            return
        self._take(target)

    def on_order_filled(self, event: Any) -> None:
        """Go on once the last order is done."""
        self._settle(event)

    def on_order_canceled(self, event: Any) -> None:
        """Go on once the last order is done; what is left of it is tried again."""
        self._settle(event)

    def on_order_expired(self, event: Any) -> None:
        """Go on once the last order is done; what is left of it is tried again."""
        self._settle(event)

    def on_order_rejected(self, event: Any) -> None:
        """Leave the instrument alone, and go on."""
        self._refuse(event)

    def on_order_denied(self, event: Any) -> None:
        """Leave the instrument alone, and go on."""
        self._refuse(event)

    def _refuse(self, event: Any) -> None:
        self.refused["refused by the venue"] += 1
        self._blocked.add(event.instrument_id)
        self._settle(event)

    def _settle(self, event: Any) -> None:
        order = self.cache.order(event.client_order_id)
        if event.client_order_id not in self._working or not order.is_closed:
            return
        self._working.discard(event.client_order_id)
        if self._working or self._sending:
            return
        if self._next is not None:
            target, self._next = self._next, None
            self._take(target)
        else:
            self._trade()

    def _take(self, target: AllocationTarget) -> None:
        """Turn a target into quantities to hold, and begin to trade."""
        problem = self._problem(target)
        if problem is not None:
            self.refused[problem] += 1
            return
        self._goal, self._blocked = self._quantities(target), set()
        self._rounds = [self.config.attempts] * 2
        self.executed += self._trade()

    def _problem(self, target: AllocationTarget) -> str | None:
        if self.clock.timestamp_ns() - target.ts_init > self.config.max_age_seconds * NANOSECONDS:
            return "out of date"
        if target.status == "infeasible" or not target.weights:
            return "infeasible"
        if target.status != "optimal" and not self.config.execute_inaccurate:
            return "inaccurate"
        return None

    def _quantities(self, target: AllocationTarget) -> dict[InstrumentId, float]:
        """Whole lots for each weight, rounded towards none; none of what is held without a weight."""
        held = {position.instrument_id for position in self._positions()}
        goal = {name: 0.0 for name in held if str(name) not in target.weights and str(name) not in target.uncovered}
        for text, weight in target.weights.items():
            name = InstrumentId.from_str(text)
            instrument, price = self.cache.instrument(name), self._price(name)
            capital = self._capital(name)
            if instrument is None or price is None or capital is None:
                self.refused["no instrument, price or account"] += 1
                continue
            unit = price * float(instrument.multiplier)
            lot = self._lot(instrument)
            wanted = weight * capital * (1.0 - self.config.reserve) / unit
            now = self._held(name)
            if weight != 0.0 and abs(wanted - now) * unit < self.config.band * capital:
                continue
            lots = floor(abs(wanted) / lot + 1e-9) * lot
            goal[name] = lots if wanted > 0.0 else -lots
        return goal

    def _trade(self) -> bool:
        """Send what lowers positions, else what raises them; return whether anything was sent."""
        moves = {name: goal - self._held(name) for name, goal in self._goal.items() if name not in self._blocked}
        lowering = {name: move for name, move in moves.items() if self._held(name) * move < 0.0}
        raising = {name: move for name, move in moves.items() if name not in lowering}
        for step, chosen in enumerate((lowering, raising)):
            orders = [order for name, move in chosen.items() if (order := self._order(name, move)) is not None]
            if orders and self._rounds[step] > 0:
                self._rounds[step] -= 1
                self._send_all(orders)
                return True
        return False

    def _order(self, name: InstrumentId, move: float) -> Any | None:
        """Make the order of a move: through zero in two steps, within the cash that there is; None for no lot."""
        instrument, held = self.cache.instrument(name), self._held(name)
        size = min(abs(move), abs(held)) if held * move < 0.0 else abs(move)
        if held * move >= 0.0 and move > 0.0:
            size = min(size, self._affordable(instrument))
        lot = self._lot(instrument)
        lots = floor(size / lot + 1e-9) * lot
        most = None if instrument.max_quantity is None else float(instrument.max_quantity)
        lots = lots if most is None else min(lots, floor(most / lot + 1e-9) * lot)
        if lots <= 0.0 or lots < float(instrument.min_quantity or 0.0):
            return None
        side = OrderSide.BUY if move > 0.0 else OrderSide.SELL
        return self.order_factory.market(name, side, instrument.make_qty(lots), time_in_force=TimeInForce.IOC)

    def _send_all(self, orders: list[Any]) -> None:
        """Send orders as one round: it is not over before the last one was sent, whatever the first ones come to."""
        self._working = {order.client_order_id for order in orders}
        self._sending = True
        for order in orders:
            joined = self._positions(order.instrument_id)
            self.submit_order(order, position_id=joined[0].id if joined else None)
        self._sending = False
        if not self._working:
            self._trade()

    def _affordable(self, instrument: Any) -> float:
        """How much a cash account can pay for: an even share of what is free for each instrument still to raise."""
        account = self.cache.account_for_venue(instrument.id.venue)
        if account is None or not account.is_cash_account:
            return float("inf")
        free = account.balance_free(instrument.quote_currency)
        price = self._price(instrument.id)
        if free is None or price is None:
            return 0.0
        wanted = sum(
            max(goal - self._held(name), 0.0) * (self._price(name) or 0.0)
            for name, goal in self._goal.items()
            if name not in self._blocked and name.venue == instrument.id.venue
        )
        own = max(self._goal[instrument.id] - self._held(instrument.id), 0.0)
        return own * min(1.0, free.as_double() * (1.0 - self.config.reserve) / wanted) if wanted > 0.0 else 0.0

    def _capital(self, name: InstrumentId) -> float | None:
        if self.config.capital is not None:
            return self.config.capital
        equity = self.portfolio.equity(name.venue)
        money = equity.get(self.cache.instrument(name).quote_currency) if self.cache.instrument(name) else None
        return None if money is None else money.as_double()

    def _price(self, name: InstrumentId) -> float | None:
        for kind in (PriceType.LAST, PriceType.MID):
            price = price_of(self.cache, name, kind)
            if price is not None:
                return float(price)
        return None

    def _lot(self, instrument: Any) -> float:
        lot = float(instrument.lot_size) if instrument.lot_size is not None else 0.0
        return max(lot, float(instrument.size_increment))

    def _held(self, name: InstrumentId) -> float:
        return float(sum(position.signed_qty for position in self._positions(name)))

    def _positions(self, instrument_id: InstrumentId | None = None) -> list[Any]:
        return open_positions(self.cache, instrument_id, self.id)
