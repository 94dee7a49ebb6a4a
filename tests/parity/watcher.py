"""A strategy that notes what happens in a backtest, under either version of NautilusTrader."""

from typing import Any

import numpy as np
from nautilus_trader.model import BarType

from nautilus_metal.host import Strategy, StrategyConfig, open_positions
from nautilus_metal.host.backtest import fills_of
from nautilus_metal.indicators import MetalBollingerBands, MetalMACD, MetalRSI
from nautilus_metal.messages import (
    ALLOCATION_TARGET_TOPIC,
    FORECAST_TOPIC,
    GREEKS_REPORT_TOPIC,
    HEDGE_REQUEST_TOPIC,
    MODEL_VERDICT_TOPIC,
    RISK_BREACH_TOPIC,
    RISK_REPORT_TOPIC,
    Forecast,
    RiskReport,
)

TOPICS = (
    RISK_REPORT_TOPIC,
    RISK_BREACH_TOPIC,
    GREEKS_REPORT_TOPIC,
    HEDGE_REQUEST_TOPIC,
    ALLOCATION_TARGET_TOPIC,
    MODEL_VERDICT_TOPIC,
    FORECAST_TOPIC,
)
NOT_COMPARED = ("milliseconds", "pool_hit_rate", "checkpoint")  # wall time, the pool's past, and a file
DAY = 86_400 * 10**9


class Watcher(Strategy):
    """Notes the outputs of indicators at each bar of an instrument, and all messages. It does not trade."""

    def __init__(self, log: list[list[Any]], shown: str) -> None:
        super().__init__(StrategyConfig(strategy_id="Watcher", order_id_tag="WATCH"))
        self.log_rows, self.shown = log, shown
        self.rsi, self.macd, self.bands = MetalRSI(14), MetalMACD(12, 26, 9), MetalBollingerBands(20, 2.0)

    def on_start(self) -> None:
        for one in (self.rsi, self.macd, self.bands):
            self.register_indicator_for_bars(daily(self.shown), one)
        self.subscribe_bars(daily(self.shown))
        for topic in TOPICS:
            self.msgbus.subscribe(topic, self.on_message)

    def on_bar(self, bar: Any) -> None:
        if bar.ts_event // DAY % 5 == 0:
            values = [self.rsi.value, self.macd.value, self.macd.signal, self.bands.upper, self.bands.lower]
            shown = [None if np.isnan(value) else value for value in values]
            self.log_rows.append([bar.ts_event, "indicators", shown])

    def on_message(self, message: Any) -> None:
        if not isinstance(message, RiskReport | Forecast) or shown_of(message):
            self.log_rows.append(noted(message))


def shown_of(message: Any) -> bool:
    """Whether a report or forecast is of a day that is noted: every tenth, enough for a file."""
    return bool(message.ts_init // DAY % 10 == 0)


def noted(message: Any) -> list[Any]:
    """Turn a message into a row."""
    row = {name: value for name, value in message.to_dict().items() if name not in NOT_COMPARED}
    return [message.ts_init, type(message).__name__, row]


def daily(name: str) -> BarType:
    """Daily bars of an instrument."""
    return BarType.from_str(f"{name}-1-DAY-LAST-EXTERNAL")


def closing(cache: Any) -> list[list[Any]]:
    """Return a row for each fill of a run, and one for each position that is open at its end."""
    rows: list[list[Any]] = []
    for fill in fills_of(cache):
        order = cache.order(fill.client_order_id)
        quantity = fill.last_qty.as_double() * (1 if fill.is_buy else -1)
        fee = 0.0 if fill.commission is None else fill.commission.as_double()
        facts = [str(fill.strategy_id), str(fill.instrument_id), order.tags, quantity, float(fill.last_px), fee]
        rows.append([fill.ts_event, "fill", facts])
    for one in sorted(open_positions(cache), key=lambda each: (str(each.instrument_id), str(each.strategy_id))):
        facts = [str(one.strategy_id), str(one.instrument_id), one.signed_qty, one.avg_px_open]
        rows.append([one.ts_opened, "position", facts])
    return rows
