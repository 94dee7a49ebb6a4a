"""The ConditionsActor in a real node: it looks beside the loop, tells the placement, and publishes changes alone."""

import threading
import time

import pytest
from nautilus_trader.config import ImportableActorConfig
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from nautilus_metal.actors import MetalEngineActor, MetalEngineConfig, conditions
from nautilus_metal.actors.conditions import ConditionsActor, ConditionsActorConfig
from nautilus_metal.engine import placement, shared_engine
from nautilus_metal.engine.hardware import Conditions
from nautilus_metal.errors import InputError
from nautilus_metal.messages import DEVICE_CONDITIONS_TOPIC, DeviceConditions

NORMAL = Conditions("nominal", "normal", ("pmset",))
HOT = Conditions("serious", "normal", ("pmset",))
FULL = Conditions("serious", "critical", ("pmset",))
UNKNOWN = Conditions()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(placement, "_placements", {})


def play(live_run, monkeypatch, seen, device="auto", **settings):
    """Run a node whose sensors say one after the other what is in `seen`, and then the last for good.

    Returns the messages, the share of the pool's budget after each, and the threads that read the sensors.
    """
    said, messages, shares, threads = iter(seen), [], [], set()

    def read(_):
        threads.add(threading.current_thread())
        return next(said, seen[-1])

    monkeypatch.setattr(conditions, "read_conditions", read)
    pool = shared_engine(device).pool

    def hear(heard):
        def note(message):
            messages.append(message)
            shares.append(pool.limit_bytes / pool.budget_bytes)

        heard.node.hear(DEVICE_CONDITIONS_TOPIC, note)

    wanted = len({(c.thermal, c.memory) for c in seen} - {(None, None)})
    heard = live_run(
        [],
        [],
        prepare=lambda heard: (
            heard.node.node.trader.add_actor(MetalEngineActor(MetalEngineConfig(device=device))),
            heard.node.node.trader.add_actor(ConditionsActor(ConditionsActorConfig(seconds=0.02))),
            hear(heard),
        ),
        until=lambda heard: len(messages) >= wanted,
        timeout=5.0,
        replay={"speed": 1.0},
        **settings,
    )
    return heard, messages, shares, threads


def test_each_change_is_published_once_and_tells_the_placement(live_run, monkeypatch):
    heard, messages, shares, threads = play(live_run, monkeypatch, [NORMAL, NORMAL, HOT, HOT, FULL, FULL])
    assert heard.in_time
    assert [(m.thermal, m.memory, m.mode) for m in messages] == [
        ("nominal", "normal", "normal"),
        ("serious", "normal", "shrink"),
        ("serious", "critical", "off"),
    ]
    device = str(shared_engine().device)
    assert [(m.device, m.works_on) for m in messages] == [(device, device), (device, device), (device, "cpu")]
    assert shares == pytest.approx([1.0, 0.5, 0.25], abs=1e-6)
    assert messages[-1].reason.startswith("heat serious, memory pressure critical: all work goes to the CPU")
    assert threading.main_thread() not in threads, "commands may take seconds: never on the loop's thread"
    pool = shared_engine().pool
    assert pool.limit_bytes == pool.budget_bytes, "what was imposed ends with the node"


def test_a_device_that_was_named_keeps_its_work(live_run, monkeypatch):
    device = str(shared_engine().device)
    _, messages, shares, _ = play(live_run, monkeypatch, [FULL], device=device)
    assert [(m.mode, m.works_on) for m in messages] == [("off", device)]
    words = f"{device}, named in the settings, keeps its work, with 25% of the memory budget"
    assert messages[0].reason == f"heat serious, memory pressure critical: {words}"
    assert shares == pytest.approx([0.25], abs=1e-6)


def test_sensors_that_say_nothing_change_nothing(live_run, monkeypatch):
    heard, messages, _, _ = play(live_run, monkeypatch, [UNKNOWN, UNKNOWN, NORMAL])
    assert heard.in_time
    assert [m.thermal for m in messages] == ["nominal"]


def test_a_slow_sensor_is_asked_once_at_a_time(live_run, monkeypatch):
    running, most = [0], [0]

    def slow(_):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.1)
        running[0] -= 1
        return NORMAL

    monkeypatch.setattr(conditions, "read_conditions", slow)
    actor = ConditionsActor(ConditionsActorConfig(seconds=0.01))
    start = time.monotonic()
    heard = live_run(
        [actor], [], until=lambda heard: time.monotonic() - start > 0.5, timeout=5.0, replay={"speed": 1.0}
    )
    assert heard.in_time
    assert most[0] == 1


def test_it_comes_from_configuration_and_leaves_no_thread(live_run, make, monkeypatch):
    monkeypatch.setattr(conditions, "read_conditions", lambda _: NORMAL)
    before = threading.active_count()
    room = "nautilus_metal.actors.conditions"
    actor = ImportableActorConfig(f"{room}:ConditionsActor", f"{room}:ConditionsActorConfig", {"seconds": 0.05})
    assert live_run([actor, make.risk_actor()]).in_time
    deadline = time.monotonic() + 5.0
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), "often"])
def test_a_bad_interval(seconds):
    with pytest.raises(InputError, match="`seconds`"):
        ConditionsActor(ConditionsActorConfig(seconds=seconds))


def test_the_message_survives_bytes_dictionaries_and_a_catalog(tmp_path):
    ts = 1_700_000_000_000_000_000
    message = DeviceConditions(ts, ts, "mps", "serious", "unknown", "shrink", "mps", "heat serious: half of it")
    assert DeviceConditions.from_bytes(message.to_bytes()) == message
    assert DeviceConditions.from_dict(message.to_dict()) == message
    catalog = ParquetDataCatalog(str(tmp_path / "catalog"))
    catalog.write_data([message])
    assert [found.data.to_dict() for found in catalog.query(DeviceConditions)] == [message.to_dict()]
