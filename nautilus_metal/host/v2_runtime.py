"""What actors ask of a running NautilusTrader 2.x system: its message bus, clock and event loop."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from nautilus_trader.model import AccountType, InstrumentId, Money

from nautilus_metal.errors import HostError
from nautilus_metal.host.facts import Phase, Priced
from nautilus_metal.host.reading import bar_interval_ns, exchange_rate, last_price
from nautilus_metal.host.v2_failures import guarded
from nautilus_metal.host.v2_messages import message_topic, wrapped

HISTORY = "metal.history"  # where bars before a backtest's start are laid out: of a type, between two times
_FILLS, _LOOK_SECONDS = "metal-fills", 0.05  # live, between two looks for fills


def follow_run(msgbus: Any, handler: Callable[[Phase], None]) -> None:
    """Call `handler` whenever the run becomes ready, running, stopped or disposed."""
    msgbus.node.followers.append(handler)


def follow_fills(owner: Any, handler: Callable[[Any], None]) -> None:
    """Call `handler` with the open positions after order fills of the system, once for those between two looks.

    2.x tells an actor of no fill. The cache is looked at after each bar or quote of an actor, and once more where an
    order is on its way then; live by a timer.
    """
    node = owner.msgbus.node
    if not node.fills and event_loop(owner.clock) is not None:
        every(owner, _FILLS, _LOOK_SECONDS, lambda: node.look(owner.cache))
    elif not node.fills:
        node.look_soon = lambda: _look_soon(owner, node)
    node.fills.append(guarded(handler, f"{owner.id}'s handler of fills", owner))


def _look_soon(owner: Any, node: Any) -> None:
    if _FILLS not in owner.clock.timer_names():
        after_time_stamp(owner, _FILLS, lambda: node.look(owner.cache))


def find(msgbus: Any, endpoint: str) -> Any | None:
    """Ask for what was laid out at an endpoint; None where nobody did."""
    return msgbus.node.offers.get(endpoint)


def offer(msgbus: Any, endpoint: str, answer: Any) -> None:
    """Make `find` return `answer`."""
    if endpoint in msgbus.node.offers:
        raise KeyError(f"{endpoint} is taken")
    msgbus.node.offers[endpoint] = answer


def offers(msgbus: Any, prefix: str) -> list[str]:
    """Return what follows a prefix in the names of endpoints, in alphabetical order."""
    return sorted(name.removeprefix(prefix) for name in msgbus.node.offers if name.startswith(prefix))


def broadcast(msgbus: Any, message: Any) -> None:
    """Publish custom data on a bus, to subscribers, catalogs and streams."""
    msgbus.owner.publish_data(*wrapped(message))
    msgbus.publish(message_topic(type(message).__name__), message)


def publish(owner: Any, message: Any) -> None:
    """Publish custom data on the bus of an actor."""
    broadcast(owner.msgbus, message)


def event_loop(clock: Any) -> asyncio.AbstractEventLoop | None:
    """The loop that runs a live system, to be asked on its thread; None in a backtest.

    Raises
    ------
    HostError
        If a live system runs without one.
    """
    try:
        clock.set_time(clock.timestamp_ns())  # which a clock of a backtest has already
        return None
    except ValueError:
        pass
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise HostError(
            "a live node needs an event loop for work beside it: await `LiveNode.run_async()`, or use "
            "`nautilus_metal.live.LiveNode`; NautilusTrader v2's `LiveNode.run()` has none"
        ) from None


def post(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: Any) -> None:
    """Call back on the loop's thread, from any thread; a loop that has been closed hears nothing."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(guarded(callback, "an answer of a worker"), *arguments)


def after_time_stamp(owner: Any, name: str, callback: Callable[[], None]) -> None:
    """Call back once all data and orders of the current time stamp have been handled.

    In a backtest that is an alert one nanosecond later, which comes before the next data; live it is the next turn
    of the event loop.
    """
    clock, safe = owner.clock, guarded(callback, f"{owner.id}'s {name}", owner)
    loop = event_loop(clock)
    if loop is None:
        clock.set_time_alert_ns(name, clock.timestamp_ns() + 1, callback=lambda _event: safe())
    else:
        loop.call_soon(safe)


def later(owner: Any, name: str, seconds: float, callback: Callable[[], None]) -> Callable[[], None]:
    """Call back once after a time on the system's clock, on the thread that runs it; return what calls it off."""
    clock, safe = owner.clock, guarded(callback, f"{owner.id}'s {name}", owner)
    loop = event_loop(clock)
    if loop is not None:
        return loop.call_later(seconds, safe).cancel
    clock.set_time_alert_ns(name, clock.timestamp_ns() + int(seconds * 1e9), callback=lambda _event: safe())

    def cancel() -> None:
        if name in clock.timer_names():
            clock.cancel_timer(name)

    return cancel


def every(owner: Any, name: str, seconds: float, callback: Callable[[], None]) -> None:
    """Call back at an interval, on the thread that runs the system, until the owner stops."""
    safe = guarded(callback, f"{owner.id}'s {name}", owner)

    def on_timer(_event: Any) -> None:
        if not owner.is_stopped():  # live, timers go on until the node is disposed
            safe()

    owner.clock.set_timer(name, interval=timedelta(seconds=seconds), callback=on_timer)


def equity(_portfolio: Any, cache: Any, currency: str, prices: Mapping[str, float]) -> float | None:
    """Net worth of all accounts in one currency, open positions at their last prices; None where any is not known.

    Parameters
    ----------
    _portfolio
        2.x gives an actor none: balances and positions are the cache's.
    cache : Cache
        Of the system.
    currency : str
        Code.
    prices : mapping of str to float
        As for `exchange_rate`, and of positions.
    """
    found = (cache.account_for_venue(venue) for venue in {one.venue for one in cache.instruments()})
    accounts = {str(account.id): account for account in found if account is not None}
    amounts = [money for account in accounts.values() for money in account.balances_total().values()]
    for position in cache.positions_open():
        name = str(position.instrument_id)
        price = prices.get(name) or last_price(cache, name)
        if price is None:
            return None
        account = accounts[str(position.account_id)]
        gain = position.unrealized_pnl(cache.instrument(position.instrument_id).make_price(price))
        amounts.append(gain)
        if account.account_type == AccountType.CASH:  # which has paid for what it holds
            paid = position.signed_qty * float(position.multiplier) * position.avg_px_open
            amounts.append(Money(paid, gain.currency))
    total = 0.0
    for money in amounts:
        code = money.currency.code
        rate = 1.0 if code == currency else exchange_rate(cache, code, currency, prices)
        if rate is None:
            return None
        total += rate * money.as_double()
    return total


def request_history(owner: Any, bar_type: Any, bars: int) -> None:
    """Ask for the last `bars` bars, which arrive at `on_historical_data`; weekends and holidays are allowed for.

    A backtest of 2.x serves no requests: there history comes from what is laid out at `HISTORY`, such as by a
    `CatalogHistory`, or as data before the start.
    """
    interval = bar_interval_ns(bar_type)
    if interval is None:
        return
    span = timedelta(microseconds=bars * interval * 1.6 / 1e3) + timedelta(days=7)
    if event_loop(owner.clock) is not None:
        owner.request_bars(bar_type, start=datetime.now(UTC) - span)
        return
    served = find(owner.msgbus, HISTORY)
    if served is None:
        owner.log.info(f"No history of {bar_type}: backtests of NautilusTrader v2 serve no requests")
        return
    now = owner.clock.timestamp_ns()
    owner.on_historical_bars(served(bar_type, now - int(span.total_seconds()) * 10**9, now))


def follow_option_greeks(owner: Any, handler: Callable[[str, Priced, Priced | None], None]) -> None:
    """Call `handler` with option, implied volatility and price of the underlying, whenever a venue sends its Greeks.

    2.x brings an actor those that itself has subscribed, not those of an option chain of somebody else. A message
    without a mark volatility is passed over.
    """
    owner.on_option_greeks = guarded(partial(_hand_on, handler), f"{owner.id}.on_option_greeks", owner)


def subscribe_option(owner: Any, name: str, kinds: tuple[str, ...]) -> None:
    """Ask the data client for an option's "quotes" and "greeks", those of them that `kinds` names."""
    instrument_id = InstrumentId.from_str(name)
    if "quotes" in kinds:
        owner.subscribe_quotes(instrument_id)
    if "greeks" in kinds:
        owner.subscribe_option_greeks(instrument_id)


def _hand_on(handler: Callable[[str, Priced, Priced | None], None], greeks: Any) -> None:
    if greeks.mark_iv is not None:
        spot = greeks.underlying_price
        priced = None if spot is None else Priced(float(spot), greeks.ts_event)
        handler(str(greeks.instrument_id), Priced(float(greeks.mark_iv), greeks.ts_event), priced)
