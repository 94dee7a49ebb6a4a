"""Actors in a BacktestNode of v2, by importable paths, from a catalog."""

import numpy as np
import pytest
from nautilus_trader.backtest import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestNode,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.common import ImportableActorConfig, LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import NautilusDataType
from nautilus_trader.persistence import ParquetDataCatalog
from nautilus_trader.trading import ImportableStrategyConfig

from nautilus_metal.errors import HostError
from nautilus_metal.host.catalog import read_closes
from nautilus_metal.messages import RiskReport
from tests.small_system import DAY, bar_type, bars, equity
from tests.v2.conftest import Script
from tests.v2.test_gate import EMA
from tests.v2.test_risk_actor import NAMES, SETTINGS, closes, config, two

PATHS = ("nautilus_metal.actors:RiskActor", "nautilus_metal.actors:RiskActorConfig")
ENGINE = ("nautilus_metal.actors:MetalEngineActor", "nautilus_metal.actors:MetalEngineConfig")


@pytest.fixture
def catalog(tmp_path):
    made = ParquetDataCatalog(str(tmp_path))
    instruments = [equity(name) for name in NAMES]
    made.write_instruments(instruments)
    for instrument, prices in zip(instruments, closes(), strict=True):
        made.write_bars(bars(instrument, prices))
    return tmp_path


def test_closes_of_a_catalog(catalog):
    for name, prices in zip(NAMES, closes(), strict=True):
        times, found = read_closes(catalog)[name]
        np.testing.assert_array_equal(found, prices)
        assert times.tolist() == [day * DAY for day in range(1, 121)]


def node(path, chunk_size=None):
    logging = LoggerConfig(stdout_level=LogLevel.ERROR)
    venue = BacktestVenueConfig(
        "XNYS", "NETTING", "MARGIN", ["10_000_000 USD"], fee_model=MakerTakerFeeModel("0", "0")
    )
    kinds = [str(bar_type(name)) for name in NAMES]
    data = BacktestDataConfig(NautilusDataType.Bar, str(path), bar_types=kinds)
    engine = BacktestEngineConfig(logging=logging)
    run = BacktestRunConfig([venue], [data], engine, id="run", chunk_size=chunk_size, raise_exception=True)
    made = BacktestNode([run])
    made.build()
    return made


def settings(**more):
    return SETTINGS | {"bar_types": [str(bar_type(name)) for name in NAMES]} | more


@pytest.mark.parametrize("chunk_size", [None, 50])
def test_it_gives_the_reports_of_the_engine(catalog, system, chunk_size):
    from nautilus_metal.actors import RiskActor

    orders = {NAMES[0]: {60: 1_000}}
    in_engine, in_node = (Script(orders, hears=(RiskReport,)) for _ in range(2))
    one = two(system).run([RiskActor(config())], [in_engine])
    one.engine.dispose()
    made = node(catalog, chunk_size)
    made.add_actor_from_config("run", ImportableActorConfig(*ENGINE, {"device": "cpu"}))
    made.add_actor_from_config("run", ImportableActorConfig(*PATHS, settings()))
    made.add_strategy("run", in_node)
    made.run()
    made.dispose()
    assert len(in_engine.heard) == 120
    assert [one.levels for one in in_node.heard] == [one.levels for one in in_engine.heard]


GATE = ("nautilus_metal.actors:RiskGate", "nautilus_metal.actors:RiskGateConfig")


@pytest.mark.parametrize("in_rust", [False, True])
def test_a_gate_stands_in_a_node_and_refuses_a_strategy_in_rust(catalog, in_rust):
    script = Script({NAMES[0]: {60: 1_000}})
    for native in [True, False] if in_rust else [False]:  # a node that was refused says nothing about a later one
        made = node(catalog)
        made.add_actor_from_config("run", ImportableActorConfig(*PATHS, settings(keep_scenarios=True)))
        made.add_actor_from_config("run", ImportableActorConfig(*GATE, {"var_limit": {"0.99": 5.0}}))
        if native:
            made.add_builtin_strategy("run", "EmaCross", EMA)
            with pytest.raises(HostError, match=r"add_builtin_strategy\(run, EmaCross\)"):
                made.run()
        else:
            made.add_strategy("run", script)
            (result,) = made.run()
            assert (script.fills, result.total_orders) == ([], 1)
        made.dispose()


def test_a_strategy_of_this_project_by_its_path(catalog):
    made = node(catalog)
    paths = ("strategies.rsi_reversion:RSIReversion", "strategies.rsi_reversion:RSIReversionConfig")
    kinds = [str(bar_type(NAMES[1]))]
    made.add_strategy_from_config("run", ImportableStrategyConfig(*paths, {"bar_types": kinds, "notional": 5_000.0}))
    (result,) = made.run()
    assert result.total_orders >= 2
    made.dispose()


def test_a_setting_that_is_wrong_is_refused_by_name(catalog):
    made = node(catalog)
    with pytest.raises(Exception, match="`widow` must be one of"):
        made.add_actor_from_config("run", ImportableActorConfig(*PATHS, settings(widow=1)))
    made.dispose()
