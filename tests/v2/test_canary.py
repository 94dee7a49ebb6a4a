"""Facts of the release candidate that this package's seam leans on: where one fails, v2 has changed.

Each message says what to look at.
"""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest
import talib
from nautilus_trader.backtest import BacktestEngine
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.indicators import RelativeStrengthIndex
from nautilus_trader.model import (
    AccountType,
    ActorId,
    AssetClass,
    CustomData,
    DataType,
    IndexInstrument,
    IndexPriceUpdate,
    InstrumentId,
    Money,
    OmsType,
    OptionContract,
    OptionKind,
    OrderSide,
    Price,
    Quantity,
    QuoteTick,
    Venue,
)
from nautilus_trader.trading import Strategy

from nautilus_metal.host.backtest import USD, no_fees, silent_engine
from nautilus_metal.messages import RiskBreach
from tests.small_system import DAY, VENUE, bar_type, bars, equity, walk
from tests.v2.conftest import Script

NAME = "AAA.XNYS"


def test_a_constructor_with_more_arguments_needs_its_own_new():
    class Plain(DataActor):
        def __init__(self, config=None, more=None) -> None:
            self.more = more

    try:
        Plain(None, 1)
    except TypeError:
        return
    pytest.fail("DataActor takes any arguments now: host.v2_actor.Actor needs no `__new__` for them")


def test_a_config_ignores_what_it_does_not_know():
    made = DataActorConfig(actor_id=ActorId("A"), no_such_setting=1)
    assert not hasattr(made, "no_such_setting"), "DataActorConfig keeps keywords now: see host.v2_config"


def test_the_relative_strength_index_is_talibs_from_0_to_100():
    closes, index, values = walk(1, 60), RelativeStrengthIndex(14), []
    for close in closes.tolist():
        index.update_raw(close)
        values.append(index.value)
    hint = "v2's RSI has other numbers now: see the README on conventions, and shared facts on its scale"
    np.testing.assert_allclose(values[14:], talib.RSI(closes, 14)[14:], rtol=1e-9, err_msg=hint)


class Ear(DataActor):
    """Listens for whatever v2 publishes of fills and positions."""

    def __new__(cls):
        return super().__new__(cls, None)

    def __init__(self) -> None:
        self.heard: list = []
        self.calls: list = []

    def on_start(self) -> None:
        self.subscribe_topic("events.*", self.heard.append)
        self.subscribe_bars(bar_type(NAME))

    def on_order_filled(self, event) -> None:
        self.heard.append(event)

    def on_position_opened(self, event) -> None:
        self.heard.append(event)


def test_an_actor_hears_nothing_of_fills(system):
    ear, script = Ear(), Script({NAME: {5: 10}})
    system().add(NAME, walk(1, 20)).run([ear], [script])
    assert script.fills, "the order was not filled: look at the fee model and the venue's arguments"
    assert ear.heard == [], "v2 tells actors of fills now: host.v2_runtime.follow_fills can listen and not look"


def test_an_exception_in_a_callback_does_not_end_the_run(system):
    class Loud(Ear):
        def on_bar(self, bar) -> None:
            self.calls.append(1)
            raise ValueError("of no consequence")

    loud = Loud()
    system().add(NAME, walk(1, 20)).run([loud])
    assert len(loud.calls) == 20, "v2 ends a run on an exception now: host.v2_failures may be superfluous"


def test_a_strategy_has_a_bar_before_an_actor_has_it(system):
    order: list = []

    class First(Strategy):
        def on_start(self) -> None:
            self.subscribe_bars(bar_type(NAME))

        def on_bar(self, bar) -> None:
            order.append("strategy")

    class Second(Ear):
        def on_bar(self, bar) -> None:
            order.append("actor")

    system().add(NAME, walk(1, 3)).run([Second()], [First()])
    assert order == ["strategy", "actor"] * 3, "v2 has another order of delivery: see the README's differences"


def test_plain_handlers_are_not_for_custom_data(system):
    class Talker(Ear):
        def on_start(self) -> None:
            super().on_start()
            self.subscribe_topic("data.*", self.heard.append)

        def on_bar(self, bar) -> None:
            kind = DataType("RiskBreach")
            message = RiskBreach(bar.ts_event, bar.ts_event, "A", "normal", "var", 0.99, 1.0, 2.0, "breach")
            self.publish_data(kind, CustomData(kind, message))

    talker = Talker()
    system().add(NAME, walk(1, 3)).run([talker])
    assert talker.heard == [], "v2 brings custom data to plain handlers now: see host.v2_messages.message_topic"


def test_only_one_system_is_alive(system):
    one = system().add(NAME, walk(1, 3))
    one.engine.add_actor(Ear())
    other = type(one)()
    said = None
    try:
        one.engine.run()
    except RuntimeError as error:
        said = str(error)
    finally:
        other.engine.dispose()
    hint = "several systems can be alive now: host.v2_node and v2_failures count on one"
    assert said is not None, hint
    assert "message bus is unavailable" in said, hint


def test_the_hosts_runs_can_be_made_to_raise():
    hint = "v2's classes can no longer be changed from Python: host.v2_failures needs another way to end a run"
    assert hasattr(BacktestEngine.run, "__wrapped__"), hint


def test_a_backtests_clock_can_be_set_and_no_loop_is_needed(system):
    seen: list = []

    class Clocked(Ear):
        def on_start(self) -> None:
            self.clock.set_time(self.clock.timestamp_ns())
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                seen.append("no loop")

    system().add(NAME, walk(1, 3)).run([Clocked()])
    assert seen == ["no loop"], "host.v2_runtime.event_loop tells a backtest from a live system by `set_time`"


@pytest.fixture
def bare():
    engine = silent_engine()
    yield engine
    engine.dispose()


def test_the_constructor_of_a_venue_takes_what_the_backtests_give_it(bare):
    bare.add_venue(
        venue=Venue("SIM"),
        oms_type=OmsType.HEDGING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(1_000, USD)],
        default_leverage=10,
        fee_model=no_fees(),
    )
    assert bare.list_venues() == [Venue("SIM")], "v2 has other arguments for a venue: see host.v2_backtest"


def test_positions_of_a_hedging_account_are_named_by_time(bare):
    bare.add_venue(VENUE, OmsType.HEDGING, AccountType.MARGIN, [Money(10_000_000, USD)], fee_model=no_fees())
    bare.add_instrument(equity(NAME))
    bare.add_data(bars(equity(NAME), walk(1, 10)))
    bare.add_strategy(Script({NAME: {5: 10}}))
    bare.run()
    names = [str(one.id) for one in bare.cache.positions()]
    assert names == ["P-19700106-000000-001-001-1"], "v2 names positions otherwise: see host.v2_order"


def test_a_backtest_serves_no_history(system):
    got: list = []

    class Asking(Ear):
        def on_bar(self, bar) -> None:
            self.calls.append(1)
            if len(self.calls) == 10:
                self.request_bars(bar_type(NAME), start=datetime.fromtimestamp(2 * DAY / 1e9, UTC))

        def on_historical_bars(self, bars) -> None:
            got.extend(bars)

    asking = Asking()
    system().add(NAME, walk(1, 20)).run([asking])
    assert len(asking.calls) == 20
    assert got == [], "v2's backtests serve requests now: host.v2_catalog_node.CatalogHistory may go"


def test_a_running_engine_answers_nothing(system):
    said: list = []
    one = system().add(NAME, walk(1, 3))

    class Curious(Ear):
        def on_bar(self, bar) -> None:
            try:
                said.append(one.engine.portfolio)
            except RuntimeError as error:
                said.append(str(error))

    one.run([Curious()])
    assert said == ["Already mutably borrowed"] * 3, "v2's engine can be asked as it runs: see host.v2_tearsheet"


def test_an_order_just_sent_is_neither_open_nor_in_flight(system):
    seen: list = []

    class Sender(Script):
        def submit_order(self, order) -> None:
            super().submit_order(order)
            cache = self.cache
            seen.append((cache.orders_total_count(), len(cache.orders_open()), len(cache.orders_inflight())))

    system().add(NAME, walk(1, 20)).run([], [Sender({NAME: {5: 10}})])
    hint = "v2 counts an order as it is sent: strategies.hedger, v2_node and working_orders look after it themselves"
    assert seen == [(1, 0, 0)], hint


def test_instruments_are_in_no_order_and_positions_in_that_of_their_ids(system):
    names = [f"{letter}.XNYS" for letter in "BHKAGLEFCIJD"]
    one = system()
    for name in names:
        one.add(name, walk(1, 5))
    one.run([], [Script({name: {2: 1} for name in names})])
    held = [str(position.instrument_id) for position in one.engine.cache.positions_open()]
    assert held == sorted(names), "v2 has positions in another order now: see host.v2_order"
    found = [str(instrument.id) for instrument in one.engine.cache.instruments()]
    assert found not in (names, sorted(names)), "v2 has instruments in an order now: v2_order.number may use it"


LAST_DAY = 4
OPTION, INDEX = InstrumentId.from_str("CALL.XNYS"), InstrumentId.from_str("IDX.XNYS")


class Buyer(Script):
    """Buys one option at its first quote."""

    def on_start(self) -> None:
        self.subscribe_quotes(OPTION)

    def on_quote(self, quote) -> None:
        if not self.cache.orders_total_count():
            self.submit_order(self.order_factory.market(OPTION, OrderSide.BUY, Quantity.from_int(1)))


@pytest.mark.parametrize(("prices", "settled"), [("bars", []), ("index prices", [(LAST_DAY * DAY, 10.0)])])
def test_an_option_settles_by_prices_of_its_index_and_not_by_bars(system, prices, settled):
    one, cent, lot = system(), Price.from_str("0.01"), Quantity.from_int(1)
    index = IndexInstrument(INDEX, INDEX.symbol, USD, 2, 0, cent, lot, 0, 0)
    call = OptionContract(
        OPTION, OPTION.symbol, AssetClass.INDEX, "IDX", OptionKind.CALL, Price.from_str("100.00"), USD, 0,
        LAST_DAY * DAY, 2, cent, lot, lot, 0, 0,
    )  # fmt: skip
    for instrument in (index, call):
        one.engine.add_instrument(instrument)
    sides, sizes = (Price.from_str("11.00"), Price.from_str("11.50")), (Quantity.from_int(10),) * 2
    one.engine.add_data([QuoteTick(OPTION, *sides, *sizes, *(day * DAY,) * 2) for day in range(1, LAST_DAY)])
    level, days = Price.from_str("110.00"), range(1, LAST_DAY + 3)
    known = [IndexPriceUpdate(INDEX, level, day * DAY, day * DAY) for day in days]
    one.engine.add_data(bars(index, np.full(len(days), 110.0)) if prices == "bars" else known)
    buyer = Buyer()
    one.run([], [buyer])
    assert buyer.fills[0][3] == 11.5
    found = [(ts, price) for ts, *_, price in buyer.fills[1:]]
    assert found == settled, "v2 settles options by other prices now: see backtests._option_market"
