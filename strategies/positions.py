"""What the strategies of this folder share: a position per instrument, sized in notional, moved by market orders."""

from math import floor, isfinite
from typing import Any

from nautilus_trader.model import BarType, InstrumentId, PositionId

from nautilus_metal.errors import InputError
from nautilus_metal.host import OrderSide, Strategy, StrategyConfig, open_positions


def require(holds: bool, name: str, requirement: str, value: object) -> None:
    """Raise an `InputError` naming the setting, the requirement and the value unless `holds`."""
    if not holds:
        raise InputError(f"`{name}` must be {requirement}, was {value}")


class PositionConfig(StrategyConfig, frozen=True, kw_only=True):
    """Settings that every strategy of this folder has.

    Parameters
    ----------
    bar_types : tuple[BarType, ...]
        The bars to trade on, at most one type per instrument.
    notional : float
        Size of a position per instrument in its quote currency.
    flatten_on_stop : bool
        Close what is held when the strategy stops.
    unsubscribe_on_stop : bool
        Stop listening to the bars when the strategy stops.

    Raises
    ------
    InputError
        A setting is outside what is said above.
    """

    bar_types: tuple[BarType, ...]
    notional: float = 10_000.0
    flatten_on_stop: bool = True
    unsubscribe_on_stop: bool = True

    def __post_init__(self) -> None:
        require(len(self.bar_types) > 0, "bar_types", "at least one bar type", self.bar_types)
        wrong = [item for item in self.bar_types if not isinstance(item, BarType)]
        require(not wrong, "bar_types", "BarType objects", wrong)
        ids = [bar_type.instrument_id for bar_type in self.bar_types]
        twice = sorted({str(item) for item in ids if ids.count(item) > 1})
        require(not twice, "bar_types", "one bar type per instrument", f"several for {', '.join(twice)}")
        require(isfinite(self.notional) and self.notional > 0, "notional", "finite and above 0", self.notional)


class Slot:
    """One instrument of a strategy: its indicator, and the signed quantity held or on its way."""

    __slots__ = ("bar_type", "indicator", "instrument", "price", "quantity")

    def __init__(self, instrument: Any, bar_type: BarType, indicator: Any) -> None:
        self.instrument = instrument
        self.bar_type = bar_type
        self.indicator = indicator
        self.quantity = 0.0
        self.price = 0.0


class PositionStrategy(Strategy):
    """Base of the strategies here; a subclass makes an indicator and says where it wants to be.

    The quantity of a slot counts orders on their way, so that a slow fill is never ordered twice; an order that
    comes to nothing is taken back out of it.
    """

    def __init__(self, config: PositionConfig) -> None:
        super().__init__(config)
        self.slots: dict[BarType, Slot] = {}
        self._by_instrument: dict[InstrumentId, Slot] = {}

    def make_indicator(self) -> Any:
        """Make the indicator of one instrument."""
        raise NotImplementedError

    def on_start(self) -> None:
        """Subscribe to every instrument that the cache knows, with its indicator."""
        for bar_type in self.config.bar_types:
            instrument = self.cache.instrument(bar_type.instrument_id)
            if instrument is None:
                self.log.error(f"{bar_type.instrument_id} is not in the cache: not traded")
                continue
            slot = self._by_instrument.get(instrument.id) or Slot(instrument, bar_type, self.make_indicator())
            slot.quantity = self._held(instrument.id)
            self.slots[bar_type] = self._by_instrument[instrument.id] = slot
            self.register_indicator_for_bars(bar_type, slot.indicator)
            self.subscribe_bars(bar_type)

    def on_stop(self) -> None:
        """Flatten and unsubscribe, each as configured."""
        for slot in self.slots.values():
            if self.config.flatten_on_stop:
                self.move(slot, 0.0, "stop")
            if self.config.unsubscribe_on_stop:
                self.unsubscribe_bars(slot.bar_type)

    def on_reset(self) -> None:
        """Forget instruments, quantities and indicator state."""
        self.slots.clear()
        self._by_instrument.clear()

    def move(self, slot: Slot, target: float, tag: str) -> None:
        """Order the difference between the signed quantity `target` and what is held or on its way.

        Positions of the other side are closed or reduced first, each by its own ID, so that it works on venues with
        netting and with hedging accounts.
        """
        delta = target - slot.quantity
        increment = float(slot.instrument.size_increment)
        steps = abs(delta) / increment
        steps = round(steps) if target == 0.0 else floor(steps + 1e-9)
        if steps == 0:
            return
        lots = slot.instrument.make_qty(steps * increment).as_double()
        held = slot.quantity
        slot.quantity = 0.0 if target == 0.0 else held + (lots if delta > 0.0 else -lots)
        side = OrderSide.BUY if delta > 0.0 else OrderSide.SELL
        joined = None
        for position in open_positions(self.cache, slot.instrument.id, self.id):
            if position.signed_qty * delta > 0.0:
                joined = position.id if held else None
                continue
            part = min(lots, position.quantity.as_double())
            if part > 0.0:
                self._order(slot, side, part, tag, position.id)
                lots -= part
        if lots > 0.5 * increment:
            self._order(slot, side, lots, tag, joined)

    def _order(self, slot: Slot, side: OrderSide, lots: float, tag: str, position_id: PositionId | None) -> None:
        order = self.order_factory.market(slot.instrument.id, side, slot.instrument.make_qty(lots), tags=[tag])
        self.submit_order(order, position_id=position_id)

    def quantity_for(self, slot: Slot, notional: float, price: float) -> float:
        """Return how many units `notional` buys at `price`: 0 where the price is not positive."""
        if not price > 0.0:
            return 0.0
        return notional / (price * float(slot.instrument.multiplier))

    def on_order_denied(self, event: Any) -> None:
        """Take an order that never left back out of the slot's quantity."""
        self._take_back(event)

    def on_order_rejected(self, event: Any) -> None:
        """Take an order that the venue refused back out of the slot's quantity."""
        self._take_back(event)

    def on_order_canceled(self, event: Any) -> None:
        """Take what a cancelled order left unfilled back out of the slot's quantity."""
        self._take_back(event)

    def on_order_expired(self, event: Any) -> None:
        """Take what an expired order left unfilled back out of the slot's quantity."""
        self._take_back(event)

    def _take_back(self, event: Any) -> None:
        order = self.cache.order(event.client_order_id)
        slot = self._by_instrument.get(event.instrument_id)
        if order is None or slot is None:
            return
        left = order.leaves_qty.as_double()
        slot.quantity -= left if order.side == OrderSide.BUY else -left

    def _held(self, instrument_id: InstrumentId) -> float:
        return float(sum(position.signed_qty for position in open_positions(self.cache, instrument_id, self.id)))


class SignalConfig(PositionConfig, frozen=True, kw_only=True):
    """Settings of a strategy that is long, short or flat by a signal.

    Parameters
    ----------
    allow_short : bool
        Take short positions; otherwise a short signal means flat.
    """

    allow_short: bool = True


class SignalStrategy(PositionStrategy):
    """Trade one indicator's signal: long, short or flat, `notional` per instrument, at the bar's close."""

    def direction(self, indicator: Any, held: int) -> int:
        """Return where to be (1 long, 0 flat, -1 short) given the indicator and where one is."""
        raise NotImplementedError

    def on_bar(self, bar: Any) -> None:
        """Move to the side that the indicator asks for."""
        slot = self.slots[bar.bar_type]
        indicator = slot.indicator
        if not indicator.initialized:
            return
        quantity = slot.quantity
        held = (quantity > 0.0) - (quantity < 0.0)
        side = self.direction(indicator, held)
        if side < 0 and not self.config.allow_short:
            side = 0
        if side != held:
            size = self.quantity_for(slot, self.config.notional, bar.close.as_double()) if side else 0.0
            self.move(slot, side * size, ("short", "flat", "long")[side + 1])
