"""The ForecastActor in a live node: beside the event loop, one inference at a time, nothing lost."""

import threading

from nautilus_metal.actors import ForecastActor, ForecastActorConfig, MetalEngineActor, MetalEngineConfig
from nautilus_metal.messages import FORECAST_TOPIC
from tests.actors.forecast_cases import save
from tests.live.conftest import live_run, market  # noqa: F401  (fixtures)


def test_a_live_node_forecasts_every_bar_on_another_thread(live_run, market, tmp_path, device):  # noqa: F811
    """History warms it up, so that the first bars are forecast; late inferences take several time stamps at once."""
    threads, heard = set(), []
    actor = ForecastActor(ForecastActorConfig(checkpoint=save(tmp_path / "one.pt"), bar_types=tuple(market.bars)))
    infer = actor._infer
    actor._infer = lambda *inputs: (threads.add(threading.current_thread()), infer(*inputs))[1]

    def prepare(run):
        run.node.node.trader.add_actor(MetalEngineActor(MetalEngineConfig(device=device)))
        run.node.node.trader.add_actor(actor)
        run.node.hear(FORECAST_TOPIC, heard.append)

    run = live_run([], [], prepare=prepare, replay={"speed": 2.0})
    assert run.in_time
    assert threading.main_thread() not in threads
    named = {name for message in heard for name in message.forecasts}
    assert named == set(market.instruments)
    assert not any(message.uncovered for message in heard)
    times = [message.ts_event for message in heard]
    assert times == sorted(times)
    assert len(heard) > market.played / 2
    assert run.engine == []
