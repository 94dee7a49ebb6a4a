"""The HedgeActor in a real node: hedges are found on the worker, one at a time, and published on the loop."""

import threading

import pytest
from nautilus_trader.config import ImportableActorConfig

from nautilus_metal.actors import hedge as hedge_module
from nautilus_metal.messages import HEDGE_REQUEST_TOPIC
from tests.live.test_gate import Desk, always


@pytest.fixture
def threads(monkeypatch):
    """Names of the threads on which hedges are found."""
    names, original = [], hedge_module.hedge

    def hedge(config, moment):
        names.append(threading.current_thread().name)
        return original(config, moment)

    monkeypatch.setattr(hedge_module, "hedge", hedge)
    return names


def hedger(market) -> ImportableActorConfig:
    underlying = market.instruments[0]
    settings = {
        "instruments": {underlying: [underlying]},
        "triggers": [underlying],
        "bar_types": market.bar_types[:1],
        "target": "delta",
        "bands": {"delta": 0.0},
    }
    return ImportableActorConfig(
        actor_path="nautilus_metal.actors:HedgeActor",
        config_path="nautilus_metal.actors:HedgeActorConfig",
        config=settings,
    )


def test_hedges_are_found_beside_the_loop_and_published_on_it(live_run, make, market, threads):
    heard_on, requests = set(), []
    underlying = market.instruments[0]

    def hear(request):
        heard_on.add(threading.current_thread())
        requests.append(request)

    heard = live_run(
        [hedger(market)],
        [Desk(market, (3, always, lambda desk: desk.trade(100)))],
        replay={"speed": 2.0},
        prepare=lambda heard: heard.node.hear(HEDGE_REQUEST_TOPIC, hear),
        until=lambda heard: len(requests) > 3,
    )
    assert heard.in_time
    assert heard_on == {threading.main_thread()}
    assert set(threads) == {"nautilus-metal"}
    assert {request.orders[underlying]["quantity"] for request in requests} == {-100.0}
    assert "nautilus-metal" not in [each.name for each in threading.enumerate()]


@pytest.mark.parametrize("part", ["hedge", "moment_of"], ids=["on the worker", "on the loop"])
def test_a_hedge_that_fails_is_not_the_last_one(live_run, market, monkeypatch, part):
    calls, requests, original = [], [], getattr(hedge_module, part)

    def sometimes(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("of the model")
        return original(*arguments)

    monkeypatch.setattr(hedge_module, part, sometimes)
    heard = live_run(
        [hedger(market)],
        [Desk(market, (3, always, lambda desk: desk.trade(100)))],
        replay={"speed": 2.0},
        prepare=lambda heard: heard.node.hear(HEDGE_REQUEST_TOPIC, requests.append),
        until=lambda heard: len(requests) > 3,
    )
    assert heard.in_time
    assert len(calls) > 4
