"""Real TradingNodes without a network: replayed data, the sandbox's fills, any actors and strategies."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.common import Environment
from nautilus_trader.config import (
    ImportableActorConfig,
    ImportableStrategyConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    TradingNodeConfig,
)
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Price, Quantity

from nautilus_metal.live import LiveNode, ReplayData, ReplayDataClientConfig
from nautilus_metal.messages import (
    ENGINE_EVENT_TOPIC,
    RISK_BREACH_TOPIC,
    RISK_REPORT_TOPIC,
    RISK_STALE_TOPIC,
)

VENUE = "SIM"
NAMES = ("AAA", "BBB", "CCC")
TREND = "macd_trend:MACDTrend"
BAR = "100-MILLISECOND-LAST-EXTERNAL"
STEP = pd.Timedelta("100ms")
HISTORY, PLAYED = 300, 60
FIRST = pd.Timestamp("2024-01-02 10:00", tz="UTC")
START = FIRST + HISTORY * STEP - STEP / 2  # halfway between two bars
TOPICS = {
    "reports": RISK_REPORT_TOPIC,
    "breaches": RISK_BREACH_TOPIC,
    "stale": RISK_STALE_TOPIC,
    "engine": ENGINE_EVENT_TOPIC,
    "fills": "events.fills.*",
    "orders": "events.order.*",
    "risk": "events.risk",
}


def equity(name: str) -> Equity:
    """Make an instrument of the sandbox's venue."""
    return Equity(
        instrument_id=InstrumentId(Symbol(name), Venue(VENUE)),
        raw_symbol=Symbol(name),
        currency=USD,
        price_precision=2,
        price_increment=Price(0.01, 2),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def random_walks(names: Iterable[str] = NAMES, bars: int = HISTORY + PLAYED, seed: int = 1) -> ReplayData:
    """Make bars of 100 ms with Student-t returns, each after a quote of its close with a spread of two cents."""
    instruments = [equity(name) for name in names]
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(4, (bars, len(instruments))) * 0.005 + rng.normal(0.0, 0.003, (bars, 1))
    close = np.round(100.0 * np.exp(np.cumsum(returns, axis=0)), 2)
    index = FIRST + STEP * np.arange(bars)
    frames = {}, {}
    for column, instrument in enumerate(instruments):
        price = close[:, column]
        frames[0][f"{instrument.id}-{BAR}"] = pd.DataFrame(
            {"open": price, "high": price, "low": price, "close": price, "volume": 1e6}, index=index
        )
        frames[1][instrument.id] = pd.DataFrame(
            {"bid_price": price - 0.01, "ask_price": price + 0.01, "bid_size": 1e6, "ask_size": 1e6},
            index=index - pd.Timedelta("1ms"),
        )
    return ReplayData.from_frames(instruments, *frames)


@pytest.fixture(scope="session")
def market() -> SimpleNamespace:
    """Return a market of three instruments: data, bar_types (text and objects), start of the replay, bars played."""
    names = [f"{name}.{VENUE}-{BAR}" for name in NAMES]
    return SimpleNamespace(
        data=random_walks(),
        bar_types=names,
        instruments=[f"{name}.{VENUE}" for name in NAMES],
        bars=[BarType.from_str(name) for name in names],
        start=START.isoformat(),
        played=PLAYED,
        walks=random_walks,
    )


@dataclass
class Heard:
    """What came over a node's bus, and how the run ended.

    `reports`, `breaches`, `stale`, `engine`, `fills`, `orders` and `risk` are lists of messages in the order in which
    they came; `in_time` says whether `until` held, or the node stopped by itself; `node` is the LiveNode, running
    while `until` is asked and disposed afterwards.
    """

    node: Any = None
    in_time: bool = False
    cached: dict[str, int] = field(default_factory=dict)
    reports: list[Any] = field(default_factory=list)
    breaches: list[Any] = field(default_factory=list)
    stale: list[Any] = field(default_factory=list)
    engine: list[Any] = field(default_factory=list)
    fills: list[Any] = field(default_factory=list)
    orders: list[Any] = field(default_factory=list)
    risk: list[Any] = field(default_factory=list)


def risk_actor(market: SimpleNamespace, **settings: Any) -> ImportableActorConfig:
    """Return the config of a RiskActor on the market, small and quick, with `settings` over that."""
    small = {"bar_types": market.bar_types, "window": 250, "min_observations": 100, "scenarios": 1_000}
    room = "nautilus_metal.actors"
    return ImportableActorConfig(
        actor_path=f"{room}:RiskActor", config_path=f"{room}:RiskActorConfig", config=small | settings
    )


def strategy(market: SimpleNamespace, name: str, **settings: Any) -> ImportableStrategyConfig:
    """Return the config of a strategy of the folder `strategies` on the market."""
    path = f"strategies.{name}"
    quick = {"fast": 2, "slow": 5, "signal": 3} if name == TREND else {}
    return ImportableStrategyConfig(
        strategy_path=path, config_path=f"{path}Config", config={"bar_types": market.bar_types} | quick | settings
    )


def node_config(
    data: ReplayData, replay: dict[str, Any], sandbox: dict[str, Any], **settings: Any
) -> TradingNodeConfig:
    """Return the config of a node on replayed data and the sandbox, quick to start and to stop."""
    defaults = {
        "trader_id": "TEST-001",
        "environment": Environment.SANDBOX,  # which may go without logging; that can be set up once in a process
        "logging": LoggingConfig(bypass_logging=True),
        "exec_engine": LiveExecEngineConfig(reconciliation=False),
        "timeout_connection": 5.0,
        "timeout_portfolio": 5.0,
        "timeout_post_stop": 0.05,
    }
    account = {
        "venue": VENUE,
        "starting_balances": ["1_000_000 USD"],
        "base_currency": "USD",
        "account_type": "MARGIN",
        "default_leverage": Decimal(10),
    }
    return TradingNodeConfig(
        data_clients={"REPLAY": ReplayDataClientConfig(data=data, **replay)},
        exec_clients={VENUE: SandboxExecutionClientConfig(**(account | sandbox))},
        **(defaults | settings),
    )


@pytest.fixture
def live_run(market: SimpleNamespace) -> Callable[..., Heard]:
    """Return a function that runs one node to its end and returns what was `Heard`."""

    def run(
        actors: Iterable[Any] = (),
        strategies: Iterable[Any] = (),
        *,
        until: Callable[[Heard], bool] | None = None,
        timeout: float = 20.0,
        prepare: Callable[[Heard], None] | None = None,
        data: ReplayData | None = None,
        replay: dict[str, Any] | None = None,
        sandbox: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Heard:
        """Run a node until `until` holds (asked on the loop's thread), it stops by itself, or the time is up.

        Parameters
        ----------
        actors, strategies : iterable
            Importable configs, or objects, which are added after those.
        until : callable, optional
            Takes the `Heard`; may also act on `heard.node`. Without it the node stops when the replay has ended.
        timeout : float
            Seconds.
        prepare : callable, optional
            Called with the `Heard` when the node has been built and has not started.
        data : ReplayData, optional
            The market's by default.
        replay, sandbox : dict, optional
            Settings of the `ReplayDataClientConfig`, and of the `SandboxExecutionClientConfig`.
        **settings
            Of the `TradingNodeConfig`: `controller`, `risk_engine`, `load_state`, ...
        """
        actors, strategies = list(actors), list(strategies)
        config = node_config(
            data or market.data,
            {"start": market.start, "speed": "max", "start_delay": 0.1, "shut_down_after": 0.2} | (replay or {}),
            sandbox or {},
            actors=[each for each in actors if isinstance(each, ImportableActorConfig)],
            strategies=[each for each in strategies if isinstance(each, ImportableStrategyConfig)],
            **settings,
        )
        heard = Heard()
        with LiveNode(config) as heard.node:
            for actor in actors:
                if not isinstance(actor, ImportableActorConfig):
                    heard.node.node.trader.add_actor(actor)
            for each in strategies:
                if not isinstance(each, ImportableStrategyConfig):
                    heard.node.node.trader.add_strategy(each)
            for name, topic in TOPICS.items():
                heard.node.hear(topic, getattr(heard, name).append)
            if prepare:
                prepare(heard)
            heard.in_time = heard.node.run(until and (lambda: until(heard)), timeout)
            cache = heard.node.kernel.cache
            heard.cached = {"orders": cache.orders_total_count(), "open": cache.positions_open_count()}
        return heard

    return run


@pytest.fixture
def make(market: SimpleNamespace) -> SimpleNamespace:
    """Return the makers of configs: `make.risk_actor(**settings)` and `make.strategy(name, **settings)`."""
    return SimpleNamespace(
        risk_actor=lambda **settings: risk_actor(market, **settings),
        strategy=lambda name=TREND, **settings: strategy(market, name, **settings),
    )
