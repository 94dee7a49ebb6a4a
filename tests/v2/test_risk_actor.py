"""The engine's actor and the RiskActor in a backtest of v2."""

import numpy as np
import pytest
from nautilus_trader.common import ImportableActorConfig

from nautilus_metal.actors import MetalEngine, MetalEngineActor, MetalEngineConfig, RiskActor, RiskActorConfig
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor
from nautilus_metal.messages import RISK_REPORT_TOPIC, RiskBreach, RiskReport
from nautilus_metal.risk import Book, Position, assess
from tests.small_system import DAY, bar_type, walk
from tests.v2.conftest import Script

NAMES = ("AAA.XNYS", "BBB.XNYS")
SETTINGS = {"window": 100, "min_observations": 50, "scenarios": 2_000, "model": "normal", "levels": (0.95, 0.99)}


def config(**settings):
    return RiskActorConfig(**SETTINGS | {"bar_types": tuple(map(bar_type, NAMES))} | settings)


def closes():
    return [walk(1, 120), walk(2, 120, 50.0, 0.02)]


def two(system, **options):
    one = system(**options)
    for name, prices in zip(NAMES, closes(), strict=True):
        one.add(name, prices)
    return one


def test_reports_reach_a_strategy_with_the_figures_of_the_core(system):
    script = Script({NAMES[0]: {60: 1_000}, NAMES[1]: {60: -500}}, hears=(RiskReport,))
    cpu = MetalEngineActor(MetalEngineConfig(device="cpu"))
    two(system).run([cpu, RiskActor(config())], [script])
    assert [report.ts_event // DAY for report in script.heard] == list(range(1, 121))
    last = script.heard[-1]
    history = np.diff(np.log(np.array(closes())[:, -101:])).T
    positions = [Position(NAMES[0], 1_000.0, closes()[0][-1]), Position(NAMES[1], -500.0, closes()[1][-1])]
    with ComputeEngine("cpu") as engine:
        settings = {"model": "normal", "levels": (0.95, 0.99), "scenarios": 2_000, "seed": 0, "engine": engine}
        direct = assess(Book(positions, "USD", {"USD": 1.0}), history, **settings)
    assert last.var(0.99) == pytest.approx(direct.var[0.99], rel=1e-12)
    assert last.es(0.95) == pytest.approx(direct.es[0.95], rel=1e-12)
    assert (last.source, last.device, last.ts_init) == ("RiskActor", "cpu", last.ts_event)


def test_reports_come_over_the_topic_and_breaches_are_published(system):
    heard = []

    class Listener(Actor):
        def register_base(self, portfolio, msgbus, cache, clock) -> None:
            super().register_base(portfolio, msgbus, cache, clock)
            msgbus.subscribe(RISK_REPORT_TOPIC, heard.append)

    script = Script({NAMES[0]: {60: 1_000, 100: -1_000}}, hears=(RiskBreach,))
    two(system).run([Listener(), RiskActor(config(var_limit={0.99: 100.0}))], [script])
    assert len(heard) == 120
    assert [(one.state, one.level) for one in script.heard] == [("breach", 0.99), ("clear", 0.99)]


def test_a_run_after_a_reset_gives_the_same(system):
    script = Script({NAMES[0]: {60: 1_000}}, hears=(RiskReport,))
    one = two(system).run([RiskActor(config())], [script])
    first, script.heard, script.bars = script.heard, [], {}
    one.engine.reset()
    one.engine.run()
    assert [report.levels for report in script.heard] == [report.levels for report in first]
    assert len(first) == 120


def test_fills_are_noticed_opening_closing_turning_and_opening_again(system):
    fills = {60: 1_000, 65: 500, 80: -400, 85: -1_100, 90: 700, 95: -700, 96: 300, 100: -600}
    script = Script({NAMES[0]: fills, NAMES[1]: {70: 100, 75: -100}}, hears=(RiskReport,))
    two(system).run([RiskActor(config(on_bar=False, on_fill=True))], [script])
    assert [report.ts_init // DAY for report in script.heard] == sorted([*fills, 70, 75])


def test_a_timer_makes_reports(system):
    script = Script({}, hears=(RiskReport,))
    two(system).run([RiskActor(config(on_bar=False, timer_seconds=10 * 86_400.0))], [script])
    assert len(script.heard) == 11


def test_every_actor_shares_one_engine_whatever_the_order(system):
    seen = []

    class Late(Actor):
        def on_start(self) -> None:
            seen.append(MetalEngine.of(self))

    chosen = MetalEngineConfig(device="cpu", seed=7)
    two(system).run([Late(), RiskActor(config()), MetalEngineActor(chosen)])
    assert seen[0].config == chosen
    assert seen[0].state.name == "STOPPED"


def test_importable_by_strings(system):
    settings = SETTINGS | {"levels": [0.99], "bar_types": [str(bar_type(name)) for name in NAMES]}
    paths = ("nautilus_metal.actors:RiskActor", "nautilus_metal.actors:RiskActorConfig")
    script = Script({NAMES[0]: {60: 1_000}}, hears=(RiskReport,))
    one = two(system)
    one.engine.add_actor_from_config(ImportableActorConfig(*paths, settings))
    one.run(strategies=[script])
    assert script.heard[-1].var(0.99) > 0


def test_what_is_saved_is_loaded_in_another_run(system):
    first, second = RiskActor(config()), RiskActor(config())
    two(system).run([first])
    second.on_load(first.on_save())
    kept, loaded = (one._bars.window.returns(NAMES) for one in (first, second))
    np.testing.assert_array_equal(loaded, kept)
    assert len(loaded) == 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widow": 3}, "`widow` must be one of .*window.*RiskActorConfig has no other"),
        ({"window": "long"}, "`window` of RiskActorConfig must be int, was 'long'"),
        ({"bar_types": ("nonsense",)}, "`bar_types` of RiskActorConfig must be"),
    ],
)
def test_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        config(**settings)


def test_settings_are_frozen():
    one = config(seed=3)
    with pytest.raises((AttributeError, InputError)):
        one.seed = 4
    assert one.seed == 3
    assert one == config(seed=3)
    assert one != config(seed=1)
