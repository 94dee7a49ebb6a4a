"""The route in front of the risk engine: taken, given back, and left to whoever came after."""

from types import SimpleNamespace

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.core.message import Command
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.test_kit.stubs.component import TestComponentStubs

from nautilus_metal.host import OrderRoute, Ruling

ENDPOINTS = ("RiskEngine.execute", "OrderEmulator.execute")


@pytest.fixture
def kernel():
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    yield engine.kernel
    engine.dispose()


@pytest.fixture
def route(kernel):
    owner = SimpleNamespace(msgbus=kernel.msgbus, cache=kernel.cache, clock=kernel.clock, portfolio=kernel.portfolio)
    return OrderRoute(owner, lambda *_: Ruling())


def handler(bus, endpoint):
    """Who answers at an endpoint: the bus itself does not say."""

    class Shown:
        def __eq__(self, other):
            self.found = other
            return True

        def __call__(self, _):
            raise AssertionError

    shown = Shown()
    bus.deregister(endpoint, shown)
    bus.register(endpoint, shown.found)
    return shown.found


def test_taking_and_giving_back_leaves_the_hosts_own_handlers(kernel, route):
    bus, hosts = kernel.msgbus, {"RiskEngine.execute": kernel.risk_engine.execute}
    hosts["OrderEmulator.execute"] = kernel.emulator.execute
    for _ in range(2):
        route.take()
        taken = {endpoint: handler(bus, endpoint) for endpoint in ENDPOINTS}
        assert all(taken[endpoint] != hosts[endpoint] for endpoint in ENDPOINTS)
        route.take()
        assert {endpoint: handler(bus, endpoint) for endpoint in ENDPOINTS} == taken
        route.give_back()
        assert {endpoint: handler(bus, endpoint) for endpoint in ENDPOINTS} == hosts
    route.give_back()
    assert {endpoint: handler(bus, endpoint) for endpoint in ENDPOINTS} == hosts


def test_what_is_no_order_goes_on_to_the_risk_engine(kernel, route):
    before = kernel.risk_engine.command_count
    route.take()
    kernel.msgbus.send("RiskEngine.execute", Command(UUID4(), 0))
    assert kernel.risk_engine.command_count == before + 1


def test_whoever_came_after_stays(kernel, route):
    route.take()
    bus, heard = kernel.msgbus, []
    own = handler(bus, "RiskEngine.execute")
    bus.deregister("RiskEngine.execute", own)
    bus.register("RiskEngine.execute", heard.append)
    route.give_back()
    bus.send("RiskEngine.execute", "command")
    assert heard == ["command"]


def test_a_disposed_bus_is_no_error(kernel, route):
    route.take()
    kernel.msgbus.dispose()
    route.give_back()
    assert kernel.msgbus.endpoints() == []


def test_a_system_without_a_risk_engine_is_refused():
    bus = TestComponentStubs.msgbus()
    owner = SimpleNamespace(msgbus=bus, cache=None, clock=None, portfolio=None)
    with pytest.raises(LookupError, match="no risk engine on its message bus"):
        OrderRoute(owner, lambda *_: Ruling())
