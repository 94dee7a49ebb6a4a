"""A live node's config under v2: the files of v1, what v2 calls their keys, and which wrong key is named."""

import json
from pathlib import Path

import pytest
from nautilus_trader.live import LiveNode as HostNode
from nautilus_trader.live import LiveNodeConfig

from nautilus_metal.actors import RiskActorConfig
from nautilus_metal.errors import InputError
from nautilus_metal.host.v2_node_keys import LISTS, SECTIONS, UNKNOWN, section_of
from nautilus_metal.live import live_config, node_config, read_settings
from tests.v2.replay_market import BARS, settings

ROOT = Path(__file__).parents[2]
RISK = {"actor_path": "nautilus_metal.actors:RiskActor", "config_path": "nautilus_metal.actors:RiskActorConfig"}
TREND = {"strategy_path": "strategies.macd_trend:MACDTrend", "config_path": "strategies.macd_trend:MACDTrendConfig"}
REPLAY = {"path": "nautilus_metal.live:ReplayDataClientConfig"}
SANDBOX = {"path": "nautilus_trader.adapters.sandbox.config:SandboxExecutionClientConfig"}
HOST = (LiveNodeConfig, *SECTIONS.values(), *LISTS.values())
ACCOUNT = {"venue": "SIM", "starting_balances": ["1000 USD"]}


def test_actors_come_in_the_order_in_which_they_need_each_other():
    risk = [{"component_id": "RiskActor-A"}, RiskActorConfig(component_id="RiskActor-B", var_limit={0.99: 5.0})]
    parts = live_config(engine={"device": "cpu"}, conditions={"seconds": 5.0}, risk=risk)
    names = [importable.actor_path.partition(":")[2] for importable in parts["actors"]]
    assert names == ["MetalEngineActor", "ConditionsActor", "RiskActor", "RiskActor"]
    made = RiskActorConfig(**parts["actors"][3].config)
    assert (made.component_id, made.var_limit) == ("RiskActor-B", {0.99: 5.0})


def test_keys_of_v1_are_read_as_v2_has_them(tmp_path):
    text = """
        trader_id = "A-001"
        timeout_post_stop = 0.5
        timeout_connection = 7
        [logging]
        log_level = "WARNING"
        log_colors = false
        log_directory = "logs"
        [logging.log_component_levels]
        RiskActor = "DEBUG"
        [message_bus]
        encoding = "msgpack"
        [cache]
        bar_capacity = 50
        [data_engine]
        time_bars_interval_type = "left-open"
        external_clients = ["X"]
        [streaming]
        catalog_path = "streamed"
        flush_interval_ms = 250
        [[catalogs]]
        path = "history"
        name = "H"
        [risk_engine]
        max_notional_per_order = { "AAA.SIM" = 5_000 }
        [exec_engine]
        reconciliation = false
        open_check_interval_secs = 3.0
        """
    (tmp_path / "node.toml").write_text(text)
    loaded = read_settings(tmp_path / "node.toml")
    (tmp_path / "node.json").write_text(json.dumps(loaded))
    for name in ("node.toml", "node.json"):
        host = node_config(read_settings(tmp_path / name)).host
        assert (host.delay_post_stop_secs, host.timeout_connection_secs) == (0.5, 7.0)
        assert (host.logging.stdout_level.name, host.logging.is_colored) == ("WARNING", False)
        assert host.logging.file_config.directory == "logs"
        assert str(host.msgbus.encoding) == "SerializationEncoding.MSG_PACK"
        assert host.cache.bar_capacity == 50
        assert (host.streaming.writer_path, host.streaming.flush_interval_ms) == ("streamed", 250)
        assert [(one.path, one.name) for one in host.catalogs] == [("history", "H")]
        assert host.data_engine.time_bars_interval_type.name == "LEFT_OPEN"
        assert [str(one) for one in host.data_engine.external_clients] == ["X"]
        assert host.risk_engine.max_notional_per_order == {"AAA.SIM": "5000.0"}
        assert (host.exec_engine.reconciliation, host.exec_engine.open_check_interval_secs) == (False, 3.0)


def test_v2_s_own_keys_are_read_too():
    host = node_config({"delay_post_stop_secs": 0.5, "logging": {"stdout_level": "ERROR"}}).host
    assert (host.delay_post_stop_secs, host.logging.stdout_level.name) == (0.5, "ERROR")


def test_clients_of_v1_s_paths_are_v2_s():
    config = node_config(settings())
    (replay,), (sandbox,) = config.data_clients, config.exec_clients
    assert (replay.name, replay.config.speed) == ("REPLAY", "max")
    assert sandbox.config.account_type.name == "MARGIN"
    assert [str(money) for money in sandbox.config.starting_balances] == ["1000000.00 USD"]
    rates = {"fee_model": {"maker_rate": "0", "taker_rate": "0.001"}}
    fees = node_config({"exec_clients": {"SIM": SANDBOX | {"config": ACCOUNT | rates}}}).exec_clients[0]
    assert type(fees.config.fee_model).__name__ == "MakerTakerFeeModel"


@pytest.mark.parametrize("name", ["live_replay.toml", "live_soak.toml"])
def test_our_own_files_are_right(name):
    loaded = read_settings(ROOT / "backtests" / name)
    config = node_config(loaded | {"metal": loaded["metal"] | {"engine": {"device": "cpu"}}})
    assert [part.strategy_path for part in config.strategies] == ["strategies.macd_trend:MACDTrend"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trader": "A-001"}, "trader: unknown key, did you mean trader_id?"),
        ({"trader_id": "A"}, "trader_id: must be TraderId: "),
        ({"trader_id": "é-001"}, "trader_id: must be TraderId: "),
        ({"timeout_connection": "soon"}, "timeout_connection: must be float, was 'soon'"),
        ({"timeout_connection": -1.0}, "timeout_connection: invalid timeout_connection_secs: -1"),
        ({"environment": "mars"}, "environment: must be Environment: Matching variant not found, was 'mars'"),
        ({"exec_engine": {"qsize": 5}}, "exec_engine.qsize: is known to NautilusTrader v1 only: 2.x has no setting"),
        ({"cache": {"database": {}}}, "cache.database: is known to NautilusTrader v1 only: 2.x takes a database"),
        ({"emulator": {}}, "emulator: is known to NautilusTrader v1 only: "),
        ({"streaming": {}}, "streaming.catalog_path: must be given, is missing"),
        ({"streaming": {"catalog_path": 3}}, "streaming.catalog_path: must be str, was 3"),
        ({"streaming": {"catalog_path": "x", "include_types": []}}, "streaming.include_types: is known to"),
        ({"streaming": {"catalog_path": "x", "rotation_mode": 0}}, "streaming.rotation_mode: is known to"),
        ({"streaming": {"catalog_path": "x", "rotation_config": {}}}, "streaming.rotation_config: unknown key"),
        ({"catalogs": {}}, "catalogs: must be array, was {}"),
        ({"catalogs": [{"name": "x"}]}, "catalogs[0].path: must be given, is missing"),
        ({"catalogs": [{"path": "x", "fs_storage_options": {}}]}, "catalogs[0].fs_storage_options: is known to"),
        ({"exec_engine": {"reconcile": True}}, "exec_engine.reconcile: unknown key, did you mean reconciliation?"),
        ({"exec_engine": {"inflight_check_retries": 2.5}}, "exec_engine.inflight_check_retries: must be int"),
        ({"exec_engine": {"inflight_check_retries": -2}}, "exec_engine.inflight_check_retries: "),
        ({"exec_engine": []}, "exec_engine: must be table, was []"),
        ({"risk_engine": {"max_order_submit_rate": "often"}}, "risk_engine.max_order_submit_rate: invalid"),
        ({"logging": {"log_level": 3}}, "logging.log_level: must be LogLevel, was 3"),
        ({"logging": {"log_level": "LOUD"}}, "logging.log_level: must be LogLevel: "),
        ({"metal": []}, "metal: must be table, was []"),
        ({"metal": {"rsk": {}}}, "metal.rsk: unknown key, did you mean risk?"),
        ({"metal": {"engine": {"device": "tpu"}}}, "metal.engine.device: must be 'auto' or one of"),
        ({"metal": {"risk": {"levls": [0.9]}}}, "metal.risk.levls: unknown key, did you mean levels?"),
        ({"metal": {"risk": {"levels": [0.9, "x"]}}}, "metal.risk.levels[1]: must be float, was 'x'"),
        ({"metal": {"risk": {"levels": [2.0]}}}, "metal.risk.levels: must lie between 0.5 and 1"),
        ({"metal": {"risk": [{}, {"bar_types": ["x"]}]}}, "metal.risk[1].bar_types[0]: must be BarType: "),
        ({"metal": {"risk": {"var_limit": {"0.9": 1.0}}}}, "metal.risk.var_limit: must be on one of the levels"),
        ({"metal": {"risk": {"min_observations": 1}}}, "metal.risk.min_observations: must lie between 2"),
        ({"metal": {"risk": 7}}, "metal.risk: must be table, was 7"),
        ({"metal": {"hedge": {}}}, "metal.hedge."),
        ({"actors": {}}, "actors: must be array, was {}"),
        ({"actors": [3]}, "actors[0]: must be table, was 3"),
        ({"actors": [{"config": {}}]}, "actors[0].actor_path: must be given, is missing"),
        ({"actors": [RISK | {"config": {}, "more": 1}]}, "actors[0].more: unknown key, known are"),
        ({"actors": [RISK | {"config": {"window": 1}}]}, "actors[0].config.min_observations: must lie between 2 and"),
        (
            {"actors": [RISK | {"config": {}, "actor_path": "no.such:Thing"}]},
            "actors[0].actor_path: must be importable, 'no.such:Thing' is not (ModuleNotFoundError",
        ),
        (
            {"actors": [RISK | {"config": {}, "actor_path": "RiskActor"}]},
            "actors[0].actor_path: must be a path like package.module:Class, was 'RiskActor'",
        ),
        (
            {"strategies": [TREND | {"config": {"bar_types": BARS, "slow": 3}}]},
            "strategies[0].config.slow: must be above `fast` (12), was 3",
        ),
        ({"strategies": [TREND | {"config": {}}]}, "strategies[0].config.bar_types: must be given, is missing"),
        ({"data_clients": []}, "data_clients: must be table, was []"),
        ({"data_clients": {"R": {}}}, "data_clients.R.path: must be given, is missing"),
        ({"data_clients": {"é": REPLAY}}, "data_clients.é: must be named by ASCII letters, was 'é'"),
        ({"data_clients": {"R": SANDBOX}}, "data_clients.R.path: must name a subclass of DataClientConfig"),
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
            "exec_clients.SIM.factory.path: must name a subclass of ExecutionClientFactory, 'builtins:dict' is none",
        ),
        (
            {"exec_clients": {"SIM": SANDBOX | {"config": {"venue": "SIM"}}}},
            "exec_clients.SIM.config.starting_balances: must be given, is missing",
        ),
        (
            {"exec_clients": {"SIM": SANDBOX | {"config": ACCOUNT | {"starting_balances": ["much"]}}}},
            "exec_clients.SIM.config.starting_balances[0]: must be Money: ",
        ),
        (
            {"exec_clients": {"SIM": SANDBOX | {"config": ACCOUNT | {"leverages": {}}}}},
            "exec_clients.SIM.config.leverages: is known to NautilusTrader v1 only: ",
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


def test_all_wrong_keys_are_said_at_once():
    wrong = {"trader_id": "A", "metal": {"risk": {"window": 1}, "engine": {"divice": "cpu"}}, "strategies": 1}
    with pytest.raises(InputError) as caught:
        node_config(wrong)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "metal.engine.divice",
        "metal.risk.min_observations",
        "trader_id",
        "strategies",
    ]


def test_a_client_without_a_factory_is_refused():
    from nautilus_metal.live import LiveNode

    path = "nautilus_trader.live:DataClientConfig"
    with pytest.raises(InputError, match="the client X must have a `factory`, had none"):
        LiveNode(node_config({"data_clients": {"X": {"path": path}}}))


@pytest.mark.parametrize("cls", HOST)
def test_the_type_of_every_key_of_v2_is_known(cls):
    """Where v2 has a new key whose default is None, its type has to be said in host.v2_node_keys."""
    section = section_of(cls)
    left_out = {"data_clients", "exec_clients", "streaming", "catalogs", "cache", "msgbus", "portfolio"}
    left_out |= {"queue_monitor", "plugins", "controller", "encoding_market_data", "encoding_builtin", "file_config"}
    left_out |= {"catalog", "data_types", "record_types", "instrument_types", "record_filters", "rotation_config"}
    left_out |= {"params", "writer_backend", "fs_rust_storage_option_keys"}
    names = {name for name, member in vars(cls).items() if type(member).__name__ == "getset_descriptor"}
    assert names - left_out <= set(section.kinds), "v2 has new keys: see host.v2_node_keys"


def test_what_is_said_to_be_unknown_to_v2_is():
    for (name, key), _ in UNKNOWN.items():
        cls = next((one for one in HOST if one.__name__ == name), None)
        if cls is not None:
            assert not hasattr(cls, key), f"v2 has `{key}` now: take it out of host.v2_node_keys.UNKNOWN"


def test_the_host_has_still_no_place_for_actors_in_a_config():
    hint = "LiveNodeConfig has actors now: host.v2_live can leave them to the builder"
    assert not hasattr(LiveNodeConfig, "actors"), hint
    assert hasattr(HostNode, "add_actor_from_config"), "LiveNode's methods have changed: see host.v2_live"
