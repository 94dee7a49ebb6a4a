"""The ConditionsActor in a backtest, which must replay: it looks at nothing and changes nothing."""

from nautilus_metal.actors import conditions
from nautilus_metal.actors.conditions import ConditionsActor, ConditionsActorConfig
from nautilus_metal.engine.hardware import Conditions
from nautilus_metal.messages import DEVICE_CONDITIONS_TOPIC


def test_a_backtest_is_not_watched(system, random_walk, monkeypatch):
    looks, messages = [], []
    hot = Conditions("critical", "critical")
    monkeypatch.setattr(conditions, "read_conditions", lambda _: looks.append(1) or hot)
    actor = ConditionsActor(ConditionsActorConfig(seconds=60.0))
    run = system().add("AAA.XNYS", random_walk(1, 5))
    run.engine.kernel.msgbus.subscribe(DEVICE_CONDITIONS_TOPIC, messages.append)
    run.run([actor])
    assert looks == messages == []
    assert list(actor.clock.timer_names) == []
