"""What actors ask of a running NautilusTrader 1.x system: its message bus, clock, cache and component states."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pandas as pd
from nautilus_trader.common.component import TestClock
from nautilus_trader.model.data import BarType, DataType
from nautilus_trader.model.identifiers import InstrumentId

from nautilus_metal.host.facts import Phase, Priced
from nautilus_metal.host.reading import bar_interval_ns, exchange_rate
from nautilus_metal.host.words import ComponentState

_PHASES = {
    ComponentState.READY: Phase.READY,
    ComponentState.RUNNING: Phase.RUNNING,
    ComponentState.STOPPED: Phase.STOPPED,
    ComponentState.DISPOSED: Phase.DISPOSED,
}
_RUN_TOPIC = "events.system.DataEngine"  # its states bracket those of every actor and strategy
_FILL_TOPIC = "events.fills.*"
_GREEKS_TOPIC = "data.option_greeks.*"  # the engine publishes here what it also feeds to option chains


def message_topic(name: str) -> str:
    """The topic at which a strategy hears a message of ours: ``self.msgbus.subscribe(topic, handler)``."""
    return f"data.{name}*"


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


def request_history(owner: Any, bar_type: BarType, bars: int) -> None:
    """Ask for the last `bars` bars, which arrive at `on_historical_data`; weekends and holidays are allowed for."""
    interval = bar_interval_ns(bar_type)
    if interval is None:
        return
    span = pd.Timedelta(int(bars * interval * 1.6) + 7 * 86_400 * 10**9, unit="ns")
    owner.request_bars(bar_type, start=owner.clock.utc_now() - span)


def follow_option_greeks(owner: Any, handler: Callable[[str, Priced, Priced | None], None]) -> None:
    """Call `handler` with option, implied volatility and price of the underlying, whenever a venue sends its Greeks.

    Those of an option chain come the same way. A message without a mark volatility is passed over.
    """

    def on_greeks(greeks: Any) -> None:
        if greeks.mark_iv is not None:
            spot = greeks.underlying_price
            priced = None if spot is None else Priced(float(spot), greeks.ts_event)
            handler(str(greeks.instrument_id), Priced(float(greeks.mark_iv), greeks.ts_event), priced)

    owner.msgbus.subscribe(_GREEKS_TOPIC, on_greeks)


def subscribe_option(owner: Any, name: str, kinds: tuple[str, ...]) -> None:
    """Ask the data client for an option's "quotes" and "greeks", those of them that `kinds` names."""
    instrument_id = InstrumentId.from_str(name)
    if "quotes" in kinds:
        owner.subscribe_quote_ticks(instrument_id)
    if "greeks" in kinds:
        owner.subscribe_option_greeks(instrument_id)
