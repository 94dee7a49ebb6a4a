"""A live node's config: what `live_config` makes, and which wrong key is named, with what came."""

import json

import pytest
from nautilus_trader.common.config import ActorFactory
from nautilus_trader.config import TradingNodeConfig

from nautilus_metal import actors
from nautilus_metal.actors import MetalEngineConfig, RiskActorConfig, RiskControllerConfig
from nautilus_metal.errors import InputError
from nautilus_metal.live import live_config, node_config, read_settings
from nautilus_metal.live.config import _PARTS

BAR = "AAA.SIM-1-DAY-LAST-EXTERNAL"
RISK = {"actor_path": "nautilus_metal.actors:RiskActor", "config_path": "nautilus_metal.actors:RiskActorConfig"}
TREND = {"strategy_path": "strategies.macd_trend:MACDTrend", "config_path": "strategies.macd_trend:MACDTrendConfig"}
CONTROLLER = {
    "controller_path": "nautilus_metal.actors:RiskController",
    "config_path": "nautilus_metal.actors:RiskControllerConfig",
    "config": {},
}
REPLAY = {"path": "nautilus_metal.live:ReplayDataClientConfig"}
SANDBOX = {"path": "nautilus_trader.adapters.sandbox.config:SandboxExecutionClientConfig"}
ACCOUNT = {"venue": "SIM", "starting_balances": ["1000 USD"]}


def test_actors_come_in_the_order_in_which_they_need_each_other():
    parts = live_config(
        engine={"device": "cpu"},
        conditions={"seconds": 5.0},
        risk=[{"component_id": "RiskActor-A"}, RiskActorConfig(component_id="RiskActor-B", var_limit={0.99: 5.0})],
        gate={"var_limit": {"0.99": 5.0}},
        controller=RiskControllerConfig(halt_after_reports=3),
    )
    config = TradingNodeConfig(trader_id="A-001", **parts)
    made = [ActorFactory.create(importable) for importable in config.actors]
    names = ["MetalEngineActor", "ConditionsActor", "RiskActor", "RiskActor", "RiskGate"]
    assert [type(actor).__name__ for actor in made] == names
    assert [str(actor.id) for actor in made[2:4]] == ["RiskActor-A", "RiskActor-B"]
    assert made[3].config.var_limit == {0.99: 5.0}
    assert config.controller.controller_path == "nautilus_metal.actors:RiskController"
    assert config.controller.config["halt_after_reports"] == 3


def test_nothing_but_the_engine_by_default():
    parts = live_config()
    assert [importable.actor_path for importable in parts["actors"]] == ["nautilus_metal.actors:MetalEngineActor"]
    assert "controller" not in parts


def test_every_part_is_there():
    for part in _PARTS.values():
        assert part.cls in actors.__all__
        assert part.config in actors.__all__


def test_a_config_goes_through_json_unchanged():
    config = RiskActorConfig(bar_types=(BAR,), levels=(0.9, 0.99), es_limit={0.9: 1.5}, model_options={"decay": 0.9})
    importable = live_config(risk=config)["actors"][1]
    assert ActorFactory.create(type(importable).parse(importable.json())).config.es_limit == {0.9: 1.5}


def test_a_file_holds_keys_of_the_node_beside_ours(tmp_path):
    text = f"""
        trader_id = "A-001"
        [metal.engine]
        device = "cpu"
        [[metal.risk]]
        bar_types = ["{BAR}"]
        [metal.controller]
        [[actors]]
        actor_path = "nautilus_metal.actors:RiskActor"
        config_path = "nautilus_metal.actors:RiskActorConfig"
        config.component_id = "RiskActor-OWN"
        [exec_clients.SIM]
        path = "{SANDBOX["path"]}"
        config = {{ venue = "SIM", starting_balances = ["1000 USD"] }}
        """
    (tmp_path / "node.toml").write_text(text)
    settings = read_settings(tmp_path / "node.toml")
    (tmp_path / "node.json").write_text(json.dumps(settings))
    config = node_config(settings)
    assert config == node_config(read_settings(tmp_path / "node.json"))
    assert [importable.actor_path.partition(":")[2] for importable in config.actors] == [
        "MetalEngineActor",
        "RiskActor",
        "RiskActor",
    ]
    assert config.actors[2].config == {"component_id": "RiskActor-OWN"}
    assert config.exec_clients["SIM"].create().venue == "SIM"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trader": "A-001"}, "trader: unknown key, did you mean trader_id?"),
        ({"trader_id": "A"}, "trader_id: must be TraderId like NAME-001, was 'A'"),
        ({"trader_id": "é-001"}, "trader_id: must be TraderId of ASCII letters, was 'é-001'"),
        ({"timeout_connection": "soon"}, "timeout_connection: must be float, was 'soon'"),
        ({"exec_engine": {"qsize": 0}}, "exec_engine.qsize: must be int >= 1, was 0"),
        ({"exec_engine": {"reconcile": True}}, "exec_engine.reconcile: unknown key, did you mean reconciliation?"),
        ({"exec_engine": []}, "exec_engine: must be table, was []"),
        ({"logging": {"log_level": 3}}, "logging.log_level: must be str, was 3"),
        ({"metal": []}, "metal: must be table, was []"),
        ({"metal": {"rsk": {}}}, "metal.rsk: unknown key, did you mean risk?"),
        ({"metal": {"engine": {"device": "tpu"}}}, "metal.engine.device: must be 'auto' or one of"),
        ({"metal": {"engine": {"device": "cuda:99"}}}, "metal.engine.device: must be one of this machine"),
        ({"metal": {"engine": {"memory_fraction": 2.0}}}, "metal.engine.memory_fraction: must "),
        ({"metal": {"risk": {"levls": [0.9]}}}, "metal.risk.levls: unknown key, did you mean levels?"),
        ({"metal": {"risk": {"levels": [0.9, "x"]}}}, "metal.risk.levels[1]: must be float, was 'x'"),
        ({"metal": {"risk": {"levels": [2.0]}}}, "metal.risk.levels: must lie between 0.5 and 1"),
        ({"metal": {"risk": [{}, {"bar_types": ["x"]}]}}, "metal.risk[1].bar_types[0]: Error parsing"),
        ({"metal": {"risk": {"var_limit": {"0.95": "x"}}}}, "metal.risk.var_limit.0.95: must be float, was 'x'"),
        ({"metal": {"risk": {"var_limit": {"0.9": 1.0}}}}, "metal.risk.var_limit: must be on one of the levels"),
        ({"metal": {"risk": {"min_observations": 1}}}, "metal.risk.min_observations: must lie between 2"),
        ({"metal": {"risk": {"component_id": ""}}}, "metal.risk.component_id: must be ComponentId of ASCII letters"),
        ({"metal": {"risk": {"instruments": ["AAA"]}}}, "metal.risk.instruments[0]: "),
        ({"metal": {"risk": 7}}, "metal.risk: must be table, was 7"),
        ({"metal": {"hedge": {}}}, "metal.hedge."),
        ({"metal": {"gate": {"on_stale": "shrug"}}}, "metal.gate.on_stale: must "),
        ({"metal": {"controller": {"release": 2.0}}}, "metal.controller.release: must be at most 1, was 2.0"),
        (
            {"metal": {"controller": {}}, "controller": CONTROLLER},
            "controller: must not stand beside metal.controller: a node has one",
        ),
        ({"actors": {}}, "actors: must be array, was {}"),
        ({"actors": [3]}, "actors[0]: must be table, was 3"),
        ({"actors": [{"config": {}}]}, "actors[0].actor_path: must be given, is missing"),
        ({"actors": [RISK | {"config": {"window": 1}}]}, "actors[0].config.min_observations: must lie between 2 and"),
        (
            {"actors": [RISK | {"config": {}, "actor_path": "no.such:Thing"}]},
            "actors[0].actor_path: must be importable, 'no.such:Thing' is not (ModuleNotFoundError",
        ),
        (
            {"actors": [RISK | {"config": {}, "actor_path": "nautilus_metal.actors:RiskActr"}]},
            "actors[0].actor_path: must be importable, nautilus_metal.actors has no 'RiskActr'",
        ),
        (
            {"actors": [RISK | {"config": {}, "actor_path": "RiskActor"}]},
            "actors[0].actor_path: must be a path like package.module:Class, was 'RiskActor'",
        ),
        (
            {"actors": [RISK | {"config": {}, "config_path": RISK["actor_path"]}]},
            "actors[0].config_path: must name a subclass of NautilusConfig",
        ),
        (
            {"strategies": [TREND | {"config": {"bar_types": [BAR], "slow": 3}}]},
            "strategies[0].config.slow: must be above `fast` (12), was 3",
        ),
        ({"strategies": [TREND | {"config": {}}]}, "strategies[0].config.bar_types: must be given, is missing"),
        ({"controller": CONTROLLER | {"controller_path": "a:b"}}, "controller.controller_path: must be importable"),
        ({"data_clients": []}, "data_clients: must be table, was []"),
        ({"data_clients": {"R": {}}}, "data_clients.R.path: must be given, is missing"),
        ({"data_clients": {"é": REPLAY}}, "data_clients.é: must be named by ASCII letters, was 'é'"),
        ({"data_clients": {"R": SANDBOX}}, "data_clients.R.path: must name a subclass of LiveDataClientConfig"),
        ({"data_clients": {"R": REPLAY}}, "data_clients.R.config: one of `catalog`, `source`"),
        (
            {"data_clients": {"R": REPLAY | {"config": {"catalog": "x", "faults": {"gaap": 0.1}}}}},
            "data_clients.R.config.faults.gaap: unknown key, did you mean gap?",
        ),
        (
            {"data_clients": {"R": REPLAY | {"config": {"catalog": "x", "faults": {"gap": 3}}}}},
            "data_clients.R.config.faults.gap: must be a chance from 0 to 1, was 3.0",
        ),
        (
            {"exec_clients": {"SIM": SANDBOX | {"config": ACCOUNT, "factory": {"path": "builtins:dict"}}}},
            "exec_clients.SIM.factory.path: must name a subclass of LiveExecClientFactory, 'builtins:dict' is none",
        ),
        (
            {"exec_clients": {"SIM": SANDBOX | {"config": ACCOUNT | {"default_leverage": "much"}}}},
            "exec_clients.SIM.config.default_leverage: Invalid decimal string, was 'much'",
        ),
    ],
)
def test_a_wrong_key_is_named_with_what_it_must_be_and_was(settings, words):
    with pytest.raises(InputError) as caught:
        node_config(settings, "node.toml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "node.toml has wrong keys"
    assert lines[1].startswith(f"  {words}")
    assert len(lines) == 2 or "path" in words


def test_all_wrong_keys_are_said_at_once():
    settings = {"trader_id": "A", "metal": {"risk": {"window": 1}, "engine": {"divice": "cpu"}}, "strategies": 1}
    with pytest.raises(InputError) as caught:
        node_config(settings)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "metal.engine.divice",
        "metal.risk.min_observations",
        "trader_id",
        "strategies",
    ]


def test_live_config_names_its_arguments():
    with pytest.raises(InputError, match=r"live_config has wrong keys\n  risk\[1\].levels: must lie between"):
        live_config(risk=[{}, {"levels": [3.0]}])


def test_settings_that_are_made_are_checked_as_well():
    with pytest.raises(InputError, match=r"risk.min_observations: must lie between 2 and"):
        live_config(risk=RiskActorConfig(window=1), engine=MetalEngineConfig(device="cpu"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "x = ", "a.toml is not TOML: "),
        ("a.json", "{", "a.json is not JSON: "),
        ("a.json", "[1]", "a.json must hold a table of settings, was list"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        read_settings(tmp_path / name)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.toml cannot be read: No such file"):
        read_settings(tmp_path / "nowhere.toml")
