"""Execute hedges: market orders for the HedgeRequests that are heard, within bands and limits."""

from collections import Counter
from math import floor, inf, isfinite
from typing import Any

from nautilus_trader.model import InstrumentId

from nautilus_metal.host import OrderSide, Strategy, StrategyConfig, TimeInForce, open_positions
from nautilus_metal.messages import HEDGE_REQUEST_TOPIC, HedgeRequest
from strategies.positions import require

NANOSECONDS = 1_000_000_000
_TAG, _ANY = "hedge of ", ""


class HedgerConfig(StrategyConfig, frozen=True, kw_only=True):
    """Settings of `Hedger`.

    Parameters
    ----------
    source : str, optional
        Listen only to requests of this actor.
    limits : dict[str, float]
        By instrument: the largest absolute quantity that this strategy may hold.
    default_limit : float, optional
        The same for every other instrument; without it they have none.
    min_removed : float
        Risk, in the request's base currency, that a request must remove to be worth trading.
    min_share : float
        The same as a share of the risk before.
    execute_infeasible : bool
        Whether to trade as near to a target that cannot be reached as the request says.
    max_age_seconds : float
        An older request is not executed.
    retry_seconds : float
        How long an instrument is left alone after the venue refused an order in it.
    flatten_on_stop : bool
        Close what is held when the strategy stops.

    Raises
    ------
    InputError
        A setting is outside what is said above.
    """

    source: str | None = None
    limits: dict[str, float] = {}
    default_limit: float | None = None
    min_removed: float = 0.0
    min_share: float = 0.0
    execute_infeasible: bool = True
    max_age_seconds: float = 60.0
    retry_seconds: float = 60.0
    flatten_on_stop: bool = False

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            require(limit >= 0.0, f"limits of {name}", "at least 0", limit)
        if self.default_limit is not None:
            require(self.default_limit >= 0.0, "default_limit", "at least 0", self.default_limit)
        require(isfinite(self.min_removed) and self.min_removed >= 0.0, "min_removed", "at least 0", self.min_removed)
        require(0.0 <= self.min_share < 1.0, "min_share", "at least 0 and under 1", self.min_share)
        require(self.max_age_seconds > 0.0, "max_age_seconds", "above 0 seconds", self.max_age_seconds)
        require(self.retry_seconds >= 0.0, "retry_seconds", "at least 0 seconds", self.retry_seconds)


class Hedger(Strategy):
    """Trades what a `HedgeRequest` asks for, once, and waits until its orders are done before it hears the next.

    Each underlying waits for its own orders. They are immediate-or-cancel: what a thin market leaves unfilled is the
    next request's business. A request that is older than the last fill in its underlying, or than `max_age_seconds`,
    was made for another position and is dropped.

    Attributes
    ----------
    executed : int
        Requests that led to an order.
    refused : Counter
        How many requests, or legs of one, were not traded, by reason.
    """

    def __init__(self, config: HedgerConfig) -> None:
        super().__init__(config)
        self.executed = 0
        self.refused: Counter[str] = Counter()
        self._last_fill: dict[str, int] = {}
        self._blocked: dict[InstrumentId, int] = {}
        self._sent: set[Any] = set()

    def on_start(self) -> None:
        """Listen to hedge requests."""
        self.msgbus.subscribe(HEDGE_REQUEST_TOPIC, self.on_hedge_request)

    def on_stop(self) -> None:
        """Stop listening; flatten as configured."""
        self.msgbus.unsubscribe(HEDGE_REQUEST_TOPIC, self.on_hedge_request)
        if self.config.flatten_on_stop:
            for instrument_id in dict.fromkeys(position.instrument_id for position in self._positions()):
                self.close_all_positions(instrument_id)

    def on_reset(self) -> None:
        """Forget what happened."""
        self.executed = 0
        self.refused.clear()
        self._last_fill.clear()
        self._blocked.clear()
        self._sent.clear()

    def on_hedge_request(self, request: HedgeRequest) -> None:
        """Execute a request, or count why not."""
        if self.config.source is not None and request.source != self.config.source:
            return
        problem = self._problem(request)
        if problem is not None:
            self.refused[problem] += 1
            return
        orders = request.orders.items()
        sent = [self._execute(name, order["quantity"], request.underlying) for name, order in orders]
        self.executed += any(sent)

    def on_order_filled(self, event: Any) -> None:
        """Note the time: a request from before it is out of date."""
        underlying = _underlying(self.cache.order(event.client_order_id))
        self._last_fill[underlying] = max(self._last_fill.get(underlying, 0), event.ts_event)

    def on_order_rejected(self, event: Any) -> None:
        """Leave the instrument alone for a while."""
        self._block(event)

    def on_order_denied(self, event: Any) -> None:
        """Leave the instrument alone for a while."""
        self._block(event)

    def _problem(self, request: HedgeRequest) -> str | None:
        """Say why a request is not executed, or None."""
        config = self.config
        concerned = (request.underlying, _ANY)
        if any(_underlying(order) in concerned for order in self._at_work()):
            return "orders at work"
        age = self.clock.timestamp_ns() - request.ts_init
        last_fill = max(self._last_fill.get(underlying, 0) for underlying in concerned)
        if age > config.max_age_seconds * NANOSECONDS or request.ts_init < last_fill:
            return "out of date"
        if request.status == "unneeded" or not request.orders:
            return "nothing to trade"
        if request.status == "infeasible" and not config.execute_infeasible:
            return "infeasible"
        removed = request.risk_before - request.risk_after
        if not removed >= max(config.min_removed, config.min_share * request.risk_before):
            return "within the band"
        return None

    def _at_work(self) -> list[Any]:
        """Orders that may still fill; those just sent are among the host's own only once it has looked at them."""
        sent = filter(None, map(self.cache.order, self._sent))
        waiting = [order for order in sent if not order.is_closed]
        self._sent = {order.client_order_id for order in waiting}
        found = self.cache.orders_open(strategy_id=self.id) + self.cache.orders_inflight(strategy_id=self.id)
        return [*waiting, *found]

    def _execute(self, name: str, quantity: float, underlying: str) -> bool:
        """Send the orders of one leg, cut to the limit; return whether there was one."""
        instrument_id = InstrumentId.from_str(name)
        instrument = self.cache.instrument(instrument_id)
        if instrument is None or self._blocked.get(instrument_id, 0) > self.clock.timestamp_ns():
            self.refused["not known" if instrument is None else "refused by the venue"] += 1
            return False
        limit = self.config.limits.get(name, inf if self.config.default_limit is None else self.config.default_limit)
        held = sum(position.signed_qty for position in self._positions(instrument_id))
        increment = float(instrument.size_increment)
        lots = floor(abs(within(held, quantity, limit)) / increment + 1e-9) * increment
        least = 0.0 if instrument.min_quantity is None else float(instrument.min_quantity)
        if lots <= 0.0 or lots < least:
            self.refused["beyond the limit" if limit < abs(held + quantity) else "less than one lot"] += 1
            return False
        self._send(instrument, OrderSide.BUY if quantity > 0 else OrderSide.SELL, lots, underlying)
        return True

    def _send(self, instrument: Any, side: OrderSide, lots: float, underlying: str) -> None:
        """Close what is held on the other side first, position by position, then open the rest."""
        sign = 1.0 if side == OrderSide.BUY else -1.0
        for position in self._positions(instrument.id):
            part = min(lots, position.quantity.as_double())
            if position.signed_qty * sign < 0.0 and part > 0.0:
                self._order(instrument, side, part, position.id, underlying)
                lots -= part
        if lots > 0.5 * float(instrument.size_increment):
            self._order(instrument, side, lots, None, underlying)

    def _order(self, instrument: Any, side: OrderSide, lots: float, position_id: Any, underlying: str) -> None:
        order = self.order_factory.market(
            instrument.id, side, instrument.make_qty(lots), time_in_force=TimeInForce.IOC, tags=[_TAG + underlying]
        )
        self._sent.add(order.client_order_id)
        self.submit_order(order, position_id=position_id)

    def _positions(self, instrument_id: InstrumentId | None = None) -> list[Any]:
        return open_positions(self.cache, instrument_id, self.id)

    def _block(self, event: Any) -> None:
        self._blocked[event.instrument_id] = self.clock.timestamp_ns() + int(self.config.retry_seconds * NANOSECONDS)


def within(held: float, quantity: float, limit: float) -> float:
    """Cut a signed quantity so that no more than `limit` is held after it; what is too much already may only shrink.

    Examples
    --------
    >>> within(held=8.0, quantity=5.0, limit=10.0), within(held=12.0, quantity=5.0, limit=10.0)
    (2.0, 0.0)
    >>> within(held=12.0, quantity=-30.0, limit=10.0)
    -22.0
    """
    room = max(limit - held, 0.0) if quantity > 0.0 else max(limit + held, 0.0)
    return min(quantity, room) if quantity > 0.0 else max(quantity, -room)


def _underlying(order: Any) -> str:
    """What an order hedges, by its tag; `_ANY` where it has none, such as a settlement or a close at the end."""
    tags = (order.tags if order is not None else None) or ()
    return next((tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)), _ANY)
