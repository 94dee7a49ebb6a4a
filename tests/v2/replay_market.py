"""A market of three stocks for a replay under v2: bars of 100 ms, each after a quote of its close."""

import numpy as np
import pandas as pd

from nautilus_metal.host import BarType, Strategy, StrategyConfig
from nautilus_metal.live import ReplayData
from tests.small_system import equity

NAMES = ("AAA.SIM", "BBB.SIM", "CCC.SIM")
BAR = "100-MILLISECOND-LAST-EXTERNAL"
BARS = [f"{name}-{BAR}" for name in NAMES]
STEP = pd.Timedelta("100ms")
HISTORY, PLAYED = 300, 60
FIRST = pd.Timestamp("2024-01-02 10:00", tz="UTC")
START = FIRST + HISTORY * STEP - STEP / 2  # halfway between two bars


def data(bars: int = HISTORY + PLAYED, seed: int = 1) -> ReplayData:
    """Make Student-t returns with a common factor, and quotes with a spread of two cents."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(4, (bars, len(NAMES))) * 0.005 + rng.normal(0.0, 0.003, (bars, 1))
    close = np.round(100.0 * np.exp(np.cumsum(returns, axis=0)), 2)
    index = FIRST + STEP * np.arange(bars)
    frames: tuple[dict, dict] = ({}, {})
    for column, name in enumerate(NAMES):
        price = close[:, column]
        prices = dict.fromkeys(("open", "high", "low", "close"), price)
        frames[0][BARS[column]] = pd.DataFrame(prices | {"volume": 1e6}, index=index)
        sides = {"bid_price": price - 0.01, "ask_price": price + 0.01, "bid_size": 1e6, "ask_size": 1e6}
        frames[1][name] = pd.DataFrame(sides, index=index - pd.Timedelta("1ms"))
    return ReplayData.from_frames([equity(name) for name in NAMES], *frames)


def settings(**more: object) -> dict:
    """Return what a node's config file would hold: the replay, the sandbox, a RiskActor and a trend strategy."""
    replay = {"source": "tests.v2.replay_market:data", "start": START.isoformat(), "speed": "max"}
    replay |= {"start_delay": 0.1, "shut_down_after": 0.2}
    account = {"venue": "SIM", "starting_balances": ["1_000_000 USD"], "base_currency": "USD"}
    risk = {"bar_types": BARS, "window": 250, "min_observations": 100, "scenarios": 1_000}
    trend = {"bar_types": BARS, "fast": 2, "slow": 5, "signal": 3}
    adapter = "nautilus_trader.adapters.sandbox"
    return {
        "trader_id": "TEST-001",
        "timeout_post_stop": 0.05,
        "logging": {"log_level": "ERROR"},
        "exec_engine": {"reconciliation": False},
        "data_clients": {"REPLAY": {"path": "nautilus_metal.live:ReplayDataClientConfig", "config": replay}},
        "exec_clients": {
            "SIM": {
                "path": f"{adapter}.config:SandboxExecutionClientConfig",
                "factory": {"path": f"{adapter}.factory:SandboxLiveExecClientFactory"},
                "config": account | {"account_type": "MARGIN", "default_leverage": "10"},
            }
        },
        "metal": {"engine": {"device": "cpu"}, "risk": risk},
        "strategies": [
            {
                "strategy_path": "strategies.macd_trend:MACDTrend",
                "config_path": "strategies.macd_trend:MACDTrendConfig",
                "config": trend,
            }
        ],
    } | more


class BrokenConfig(StrategyConfig, frozen=True):
    bar_type: BarType


class Broken(Strategy):
    """Raises at its third bar."""

    def on_start(self) -> None:
        self.bars = 0
        self.subscribe_bars(self.config.bar_type)

    def on_bar(self, bar: object) -> None:
        self.bars += 1
        if self.bars == 3:
            raise ZeroDivisionError("broken on purpose")
