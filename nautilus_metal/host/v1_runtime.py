"""What actors ask of a running NautilusTrader 1.x system: its message bus, clock, cache and component states."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

import pandas as pd
from nautilus_trader.common.component import Component, TestClock
from nautilus_trader.common.enums import ComponentState
from nautilus_trader.model.currencies import Currency
from nautilus_trader.model.data import BarType, DataType
from nautilus_trader.model.enums import PriceType
from nautilus_trader.model.identifiers import InstrumentId


class Phase(Enum):
    """Where the run of the host system stands."""

    READY = "ready"
    RUNNING = "running"
    STOPPED = "stopped"
    DISPOSED = "disposed"


_PHASES = {
    ComponentState.READY: Phase.READY,
    ComponentState.RUNNING: Phase.RUNNING,
    ComponentState.STOPPED: Phase.STOPPED,
    ComponentState.DISPOSED: Phase.DISPOSED,
}
_RUN_TOPIC = "events.system.DataEngine"  # its states bracket those of every actor and strategy
_FILL_TOPIC = "events.fills.*"
_LAST_THEN_MID = (PriceType.LAST, PriceType.MID)


@dataclass(frozen=True, slots=True)
class Holding:
    """The net open position of one instrument, over all strategies.

    Attributes
    ----------
    instrument : str
        The instrument ID.
    quantity : float
        Signed.
    multiplier : float
        Of the contract.
    currency : str
        Code of the quote currency.
    inverse : bool
        Whether the contract is quoted in the quote currency but settled in the base currency.
    """

    instrument: str
    quantity: float
    multiplier: float
    currency: str
    inverse: bool


def follow_run(msgbus: Any, handler: Callable[[Phase], None]) -> None:
    """Call `handler` whenever the run becomes ready, running, stopped or disposed."""

    def on_event(event: Any) -> None:
        phase = _PHASES.get(event.state)
        if phase is not None:
            handler(phase)

    msgbus.subscribe(_RUN_TOPIC, on_event)


def follow_fills(owner: Any, handler: Callable[[Any], None]) -> None:
    """Call `handler` with every order fill of the system."""
    owner.msgbus.subscribe(_FILL_TOPIC, handler)


def find(msgbus: Any, endpoint: str) -> Any | None:
    """Ask the object behind an endpoint for itself; None where nobody registered it."""
    if endpoint not in msgbus.endpoints():
        return None
    found: list[Any] = []
    msgbus.send(endpoint, found.append)
    return found[0]


def offer(msgbus: Any, endpoint: str, answer: Any) -> None:
    """Make `find` return `answer`."""
    msgbus.register(endpoint, lambda reply: reply(answer))


def offers(msgbus: Any, prefix: str) -> list[str]:
    """Return what follows a prefix in the names of endpoints, in alphabetical order."""
    return sorted(name.removeprefix(prefix) for name in msgbus.endpoints() if name.startswith(prefix))


def move(component: Component, phase: Phase) -> None:
    """Bring a component to a phase of the run by the transitions that its state allows."""
    state = component.state
    live = state in (ComponentState.RUNNING, ComponentState.DEGRADED)
    if phase is Phase.RUNNING and state == ComponentState.READY:
        component.start()
    elif phase is Phase.RUNNING and state == ComponentState.STOPPED:
        component.resume()
    elif phase is not Phase.RUNNING and live:
        component.stop()
    if phase is Phase.READY and component.state in (ComponentState.STOPPED, ComponentState.READY):
        component.reset()
    elif phase is Phase.DISPOSED and component.state in (ComponentState.STOPPED, ComponentState.READY):
        component.dispose()


def degrade(component: Component) -> None:
    """Degrade a running component, which publishes the change on the bus; elsewhere it has no meaning."""
    if component.is_running:
        component.degrade()


def recover(component: Component) -> None:
    """Bring a degraded component back to running."""
    if component.is_degraded:
        component.resume()


def broadcast(msgbus: Any, message: Any) -> None:
    """Publish custom data on a bus, to subscribers, catalogs and streams."""
    msgbus.publish(f"data.{DataType(type(message)).topic}", message)


def publish(owner: Any, message: Any) -> None:
    """Publish custom data on the bus of an actor or a strategy."""
    broadcast(owner.msgbus, message)


def event_loop(clock: Any) -> asyncio.AbstractEventLoop | None:
    """The loop that runs a live system, to be asked on its thread; None in a backtest."""
    return None if isinstance(clock, TestClock) else asyncio.get_running_loop()


def post(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: Any) -> None:
    """Call back on the loop's thread, from any thread; a loop that has been closed hears nothing."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)


def after_time_stamp(owner: Any, name: str, callback: Callable[[], None]) -> None:
    """Call back once all data and orders of the current time stamp have been handled.

    In a backtest that is an alert one nanosecond later, which comes before the next data; live it is the next turn
    of the event loop.
    """
    clock = owner.clock
    loop = event_loop(clock)
    if loop is None:
        clock.set_time_alert_ns(name, clock.timestamp_ns() + 1, callback=lambda _event: callback())
    else:
        loop.call_soon(callback)


def later(owner: Any, name: str, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
    """Call back once after a time on the system's clock, on the thread that runs it; return what calls it off."""
    clock = owner.clock
    loop = event_loop(clock)
    if loop is not None:
        return loop.call_later(seconds, callback).cancel
    clock.set_time_alert_ns(name, clock.timestamp_ns() + int(seconds * 1e9), callback=lambda _event: callback())

    def cancel() -> None:
        if name in clock.timer_names:
            clock.cancel_timer(name)

    return cancel


def every(owner: Any, name: str, seconds: float, callback: Callable[[], None]) -> None:
    """Call back at an interval, on the thread that runs the system: live timers fire on threads of their own."""
    clock = owner.clock
    loop = event_loop(clock)

    def on_timer(_event: Any) -> None:
        if loop is None:
            callback()
        else:
            post(loop, callback)

    clock.set_timer(name, interval=timedelta(seconds=seconds), callback=on_timer)


def holdings(cache: Any) -> list[Holding]:
    """Net the open positions by instrument, flat ones left out, in the order in which they were opened."""
    net: dict[Any, list[Any]] = {}
    for position in cache.positions_open():
        entry = net.setdefault(position.instrument_id, [0.0, position])
        entry[0] += position.signed_qty
    return [
        Holding(str(key), quantity, float(p.multiplier), p.quote_currency.code, p.is_inverse)
        for key, (quantity, p) in net.items()
        if quantity != 0.0
    ]


def last_price(cache: Any, instrument: str) -> float | None:
    """The cache's last or mid price; None where it has neither."""
    instrument_id = InstrumentId.from_str(instrument)
    for price_type in _LAST_THEN_MID:
        price = cache.price(instrument_id, price_type)
        if price is not None:
            return float(price)
    return None


def exchange_rate(cache: Any, source: str, target: str, prices: Mapping[str, float]) -> float | None:
    """Units of `target` for one unit of `source`: from a pair among `prices`, else from the cache's quotes.

    Parameters
    ----------
    cache : Cache
        The system's cache.
    source, target : str
        Currency codes.
    prices : mapping of str to float
        Last prices by instrument ID, bars included, which the cache's own rates leave out.
    """
    venues = set()
    for instrument in cache.instruments():
        base = instrument.get_base_currency()
        if base is None:
            continue
        venues.add(instrument.venue)
        price = prices.get(str(instrument.id))
        if price and (base.code, instrument.quote_currency.code) == (source, target):
            return price
        if price and (base.code, instrument.quote_currency.code) == (target, source):
            return 1.0 / price
    for venue in sorted(venues, key=str):
        rate = cache.get_xrate(venue, Currency.from_str(source), Currency.from_str(target))
        if rate:
            return float(rate)
    return None


def equity(portfolio: Any, cache: Any, currency: str, prices: Mapping[str, float]) -> float | None:
    """Net worth of all accounts in one currency, open positions at the host's prices; None where any is not known.

    Parameters
    ----------
    portfolio, cache
        Of the system.
    currency : str
        Code.
    prices : mapping of str to float
        As for `exchange_rate`.
    """
    total = 0.0
    for account in cache.accounts():
        for unit, amount in portfolio.equity(account_id=account.id).items():
            rate = 1.0 if unit.code == currency else exchange_rate(cache, unit.code, currency, prices)
            if rate is None:
                return None
            total += rate * float(amount)
    venues = {position.instrument_id.venue for position in cache.positions_open()}
    return None if any(portfolio.missing_price_instruments(venue) for venue in venues) else total


def bar_interval_ns(bar_type: BarType) -> int | None:
    """Length of a time bar in nanoseconds; None for bars that are not made by time."""
    if not bar_type.spec.is_time_aggregated():
        return None
    return int(bar_type.spec.timedelta / timedelta(microseconds=1)) * 1000


def request_history(owner: Any, bar_type: BarType, bars: int) -> None:
    """Ask for the last `bars` bars, which arrive at `on_historical_data`; weekends and holidays are allowed for."""
    interval = bar_interval_ns(bar_type)
    if interval is None:
        return
    span = pd.Timedelta(int(bars * interval * 1.6) + 7 * 86_400 * 10**9, unit="ns")
    owner.request_bars(bar_type, start=owner.clock.utc_now() - span)
