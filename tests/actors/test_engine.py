"""The MetalEngine component: one a system, found on the bus, driven with the run, degraded by a device error."""

import pytest
import torch
from nautilus_trader.common.config import ActorFactory
from nautilus_trader.config import ImportableActorConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.trading.strategy import Strategy

from nautilus_metal.actors import MetalEngine, MetalEngineActor, MetalEngineConfig, RiskActor, RiskActorConfig
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import DeviceError, InputError, OutOfDeviceMemory
from nautilus_metal.messages import ENGINE_EVENT_TOPIC

A = "AAA.XNYS"
STATES = ["STARTING", "RUNNING", "STOPPING", "STOPPED"]


@pytest.fixture
def states():
    """Record the component's states of a system."""

    def watch(run):
        seen = []
        run.engine.kernel.msgbus.subscribe("events.system.MetalEngine", lambda event: seen.append(event.state.name))
        return seen

    return watch


class Finder(Strategy):
    """Looks the engine up as a user's strategy does."""

    def on_start(self) -> None:
        self.found = MetalEngine.of(self)


def cpu() -> MetalEngineActor:
    return MetalEngineActor(MetalEngineConfig(device="cpu", seed=3))


def test_actors_and_strategies_find_one_engine(system, random_walk):
    chosen, risk, strategy = cpu(), RiskActor(), Finder()
    system().add(A, random_walk(1, 5)).run([chosen, risk], [strategy])
    assert chosen.engine is risk.engine
    assert chosen.engine is strategy.found
    assert chosen.engine.compute.seed == 3


def test_the_first_user_makes_a_default_engine_and_a_later_configuration_still_counts(system, random_walk):
    risk, chosen = RiskActor(), cpu()
    system().add(A, random_walk(1, 5)).run([risk, chosen])
    assert risk.engine is chosen.engine
    assert str(risk.engine.compute.device) == "cpu"
    assert risk.engine.compute.seed == 3


def test_a_running_engine_keeps_its_settings(system, random_walk):
    chosen = cpu()
    run = system().add(A, random_walk(1, 5)).run([chosen])
    with pytest.raises(InputError, match="`config` of a running"):
        _while_running(run, lambda: chosen.engine.configure(MetalEngineConfig(device="cpu", seed=4)))


def _while_running(run, action):
    """Run again, and act inside the run."""
    errors = []

    def act(_report):
        try:
            action()
        except InputError as error:
            errors.append(error)

    run.engine.kernel.msgbus.subscribe("data.bars.*", act)
    probe = Probe()
    run.engine.add_strategy(probe)
    run.engine.reset()
    run.engine.run()
    if errors:
        raise errors[0]


class Probe(Strategy):
    """Subscribes to bars, so that the bus carries them."""

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(f"{A}-1-DAY-LAST-EXTERNAL"))


def test_it_goes_through_the_states_of_the_run(system, states, random_walk):
    run = system().add(A, random_walk(1, 5))
    chosen = cpu()
    run.engine.add_actor(chosen)
    seen = states(run)
    assert chosen.engine.state.name == "READY"
    run.engine.run()
    assert seen == STATES
    run.engine.reset()
    assert seen == [*STATES, "RESETTING", "READY"]
    run.engine.run()
    assert seen == [*STATES, "RESETTING", "READY", *STATES]
    run.engine.dispose()
    assert chosen.engine.state.name == "DISPOSED"


def test_two_systems_have_a_component_each_over_one_pool(system, random_walk):
    first, second = cpu(), cpu()
    for actor in (first, second):
        run = system()  # both with the same trader ID
        run.add(A, random_walk(1, 5))
        run.engine.add_actor(actor)
    assert first.engine is not second.engine
    assert first.engine.compute.pool is second.engine.compute.pool


def test_a_device_that_is_not_there_is_named(system):
    with pytest.raises(DeviceError, match="cuda:63"):
        system().engine.add_actor(MetalEngineActor(MetalEngineConfig(device="cuda:63")))


class BrokenDevice(ComputeEngine):
    """Claims to be a GPU whose kernels fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__("cpu")
        self._device_error = error
        self.device = torch.device("cuda:0")

    def upload(self, *_args, **_kwargs):
        raise self._device_error


DEGRADED = ["STARTING", "RUNNING", "DEGRADING", "DEGRADED", "STOPPING", "STOPPED"]
ERRORS = [
    (RuntimeError("CUDA error: device-side assert"), DEGRADED, [("degraded", "cuda:0", "cpu")]),
    (DeviceError("gone"), DEGRADED, [("degraded", "cuda:0", "cpu")]),
    (OutOfDeviceMemory("budget"), STATES, []),  # the evaluation itself goes to the CPU piece by piece
]


@pytest.mark.parametrize(("error", "moves", "words"), ERRORS, ids=lambda value: type(value).__name__)
def test_a_device_error_degrades_the_component_and_the_cpu_gives_the_same_report(
    system, states, script, random_walk, daily, error, moves, words
):
    options = {"window": 40, "min_observations": 20, "bar_types": (daily(A),), "model": "normal"}

    def run_with(broken):
        risk = RiskActor(RiskActorConfig(**options))
        run = system().add(A, random_walk(1, 40))
        run.engine.add_actor(risk)
        if broken:
            risk.engine._compute = broken
        seen, events = states(run), []
        run.engine.kernel.msgbus.subscribe(ENGINE_EVENT_TOPIC, events.append)
        run.engine.add_strategy(script({A: {2: 10}}))
        run.engine.run()
        return run, seen, risk, events

    healthy, _, _, _ = run_with(None)
    degraded, seen, risk, events = run_with(BrokenDevice(error))
    assert [report.levels for report in degraded.reports] == [report.levels for report in healthy.reports]
    assert {report.device for report in degraded.reports if report.positions} == {"cpu"}
    assert seen == moves
    assert [(event.state, event.device, event.works_on) for event in events] == words
    assert all(type(error).__name__ in event.reason for event in events)
    assert (risk.engine.failure is None) == (not words)
    degraded.engine.reset()
    assert risk.engine.failure is None


def test_work_that_finds_no_memory_is_done_on_the_cpu_and_said_once(system, random_walk):
    """Work that does not cut itself in pieces, as a model of a user."""
    chosen, events, devices = cpu(), [], []
    run = system().add(A, random_walk(1, 5))
    run.engine.add_actor(chosen)
    chosen.engine._compute = BrokenDevice(OutOfDeviceMemory("budget"))
    run.engine.kernel.msgbus.subscribe(ENGINE_EVENT_TOPIC, events.append)

    def work(engine):
        engine.upload([1.0])
        devices.append(engine.device.type)

    for _ in range(2):
        chosen.engine.run(work)
    assert [event.state for event in events] == ["out_of_memory"]
    assert devices == ["cpu", "cpu"]
    assert chosen.engine.failure is None


def test_it_is_configured_by_importable_path(system, random_walk):
    actor = ActorFactory.create(
        ImportableActorConfig(
            actor_path="nautilus_metal.actors:MetalEngineActor",
            config_path="nautilus_metal.actors:MetalEngineConfig",
            config={"device": "cpu", "precision": "float64"},
        )
    )
    system().add(A, random_walk(1, 5)).run([actor])
    assert actor.engine.compute.dtype is torch.float64
