"""The event loop of a live node beats on while risk is computed: 2,000 bars a second, 100,000 scenarios a tick."""

import time
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.objects import Quantity
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.actors.risk import RiskActor
from nautilus_metal.actors.risk_flow import TickFlow
from nautilus_metal.live import ReplayData
from tests.heart import Heart
from tests.live.conftest import FIRST, equity

ASSETS, HISTORY, PLAYED = 20, 300, 300
STEP = pd.Timedelta("10ms")
SPECIFICATION = "10-MILLISECOND-LAST-EXTERNAL"
MOST = 5e-3  # seconds
SECONDS = 2.0
OURS = ((RiskActor, "on_bar"), (TickFlow, "_start"), (TickFlow, "_arrived"))


class BuyOnce(Strategy):
    """Holds 100 of everything from the first quotes on, so that every tick has all the positions."""

    def __init__(self, bar_types: list[str]) -> None:
        super().__init__()
        self.wanted = {BarType.from_str(name).instrument_id for name in bar_types}

    def on_start(self) -> None:
        for instrument in sorted(self.wanted, key=str):
            self.subscribe_quote_ticks(instrument)

    def on_quote_tick(self, tick) -> None:
        if tick.instrument_id in self.wanted:
            self.wanted.remove(tick.instrument_id)
            self.submit_order(self.order_factory.market(tick.instrument_id, OrderSide.BUY, Quantity.from_int(100)))


def market() -> tuple[ReplayData, list[str]]:
    instruments = [equity(f"S{i:02d}") for i in range(ASSETS)]
    returns = np.random.default_rng(0).standard_t(4, (HISTORY + PLAYED, ASSETS)) * 0.002
    closes = np.round(100.0 * np.exp(np.cumsum(returns, axis=0)), 2)
    index = FIRST + STEP * np.arange(HISTORY + PLAYED)
    bars, quotes = {}, {}
    for instrument, close in zip(instruments, closes.T, strict=True):
        columns = dict.fromkeys(("open", "high", "low", "close"), close)
        bars[f"{instrument.id}-{SPECIFICATION}"] = pd.DataFrame(columns | {"volume": 1e6}, index=index)
        sides = {"bid_price": close - 0.01, "ask_price": close + 0.01, "bid_size": 1e6, "ask_size": 1e6}
        quotes[instrument.id] = pd.DataFrame(sides, index=index - STEP / 4).iloc[: HISTORY + 5]
    return ReplayData.from_frames(instruments, bars, quotes), list(bars)


@pytest.fixture
def spent(monkeypatch) -> dict[str, list[float]]:
    """Seconds of the loop thread's own time in each of our callbacks."""
    seconds = defaultdict(list)

    def timed(kind, name):
        original = getattr(kind, name)

        def call(*args):
            started = time.thread_time()
            try:
                return original(*args)
            finally:
                seconds[name].append(time.thread_time() - started)

        monkeypatch.setattr(kind, name, call)

    for kind, name in OURS:
        timed(kind, name)
    return seconds


@pytest.mark.slow
def test_the_loop_is_never_blocked_by_our_code(live_run, make, spent):
    """The best of three runs, for a busy machine also slows what it does not hold up."""
    data, bar_types = market()
    start = (FIRST + (HISTORY - 0.5) * STEP).isoformat()
    for _ in range(3):
        heart, warm = Heart(), []
        spent.clear()

        def watch(heard, heart=heart, warm=warm) -> bool:
            if len(heard.reports) >= 5 and not warm:  # histories have been served, all positions are there
                warm.extend([len(heart.late), time.monotonic()])
                spent.clear()
            return bool(warm) and time.monotonic() > warm[1] + SECONDS

        heard = live_run(
            [make.risk_actor(bar_types=bar_types, model="normal", scenarios=100_000)],
            [BuyOnce(bar_types)],
            data=data,
            replay={"speed": 1.0, "start": start},
            until=watch,
            timeout=30.0,
            prepare=lambda heard, heart=heart: heard.node._loop.create_task(heart.beat()),
        )
        late = np.array(heart.late[warm[0] :])
        worst = {name: max(seconds) for name, seconds in spent.items()}
        if np.percentile(late, 99.9) < MOST and max(worst.values()) < MOST:
            break
    assert np.percentile(late, 99.9) < MOST
    assert max(worst.values()) < MOST
    assert {report.scenarios for report in heard.reports if report.positions} == {100_000}
    assert len(heard.reports[-1].positions) == ASSETS
    assert len(spent["on_bar"]) > 1_500 * SECONDS
    assert sum(report.skipped for report in heard.reports) > 0
    serials = [report.ts_snapshot for report in heard.reports]
    assert serials == sorted(set(serials))
