"""The engine component and the RiskActor from configuration alone: one pass, and in chunks that stream."""

import pytest
from nautilus_trader.backtest.config import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.backtest.node import BacktestNode
from nautilus_trader.config import ImportableActorConfig, LoggingConfig
from nautilus_trader.model.data import Bar
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from nautilus_metal.messages import RISK_REPORT_TOPIC

A, B = "AAA.XNYS", "BBB.XNYS"
DAYS = 60


@pytest.fixture
def catalog(tmp_path, make_equity, make_bars, random_walk):
    """Two stocks' bars in a catalog on disk."""
    store = ParquetDataCatalog(str(tmp_path))
    for seed, name in enumerate((A, B)):
        instrument = make_equity(name)
        store.write_data([instrument])
        store.write_data(make_bars(instrument, random_walk(seed, DAYS)))
    return tmp_path


def run(catalog, script, daily, chunk_size, device):
    """Run a node and return its reports and the component's states."""
    kinds = [str(daily(name)) for name in (A, B)]
    options = {"bar_types": kinds, "window": 40, "min_observations": 20, "model": "normal", "scenarios": 500}
    room = "nautilus_metal.actors:"
    actors = [
        ImportableActorConfig(room + "MetalEngineActor", room + "MetalEngineConfig", {"device": device, "seed": 5}),
        ImportableActorConfig(room + "RiskActor", room + "RiskActorConfig", options),
    ]
    config = BacktestRunConfig(
        engine=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), actors=actors, run_analysis=False),
        venues=[BacktestVenueConfig("XNYS", "NETTING", "MARGIN", ["1_000_000 USD"])],
        data=[BacktestDataConfig(catalog_path=str(catalog), data_cls=Bar, bar_types=kinds)],
        chunk_size=chunk_size,
        dispose_on_completion=False,
        raise_exception=True,
    )
    node = BacktestNode([config])
    node.build()
    engine = node.get_engine(config.id)
    reports, states = [], []
    engine.kernel.msgbus.subscribe(RISK_REPORT_TOPIC, reports.append)
    engine.kernel.msgbus.subscribe("events.system.MetalEngine", lambda event: states.append(event.state.name))
    engine.add_strategy(script({A: {3: 100}, B: {4: -50}}))
    node.run()
    component = engine.trader.actors()[1].engine
    assert component.compute.seed == 5
    node.dispose()
    return reports, states


@pytest.mark.parametrize("chunk_size", [None, 7])
def test_a_node_runs_it_from_importable_configuration(catalog, script, daily, chunk_size, device):
    reports, states = run(catalog, script, daily, chunk_size, device)
    assert len(reports) == DAYS
    assert reports[-1].uncovered == {}
    assert {report.device for report in reports if report.positions} == {device}
    assert reports[-1].var(0.95) > 0
    assert states == ["STARTING", "RUNNING", "STOPPING", "STOPPED", "DISPOSING", "DISPOSED"]


def test_chunks_change_no_figure(catalog, script, daily, device):
    whole, _ = run(catalog, script, daily, None, device)
    pieces, _ = run(catalog, script, daily, 7, device)
    figures = [[(report.ts_event, report.levels, report.positions) for report in each] for each in (pieces, whole)]
    assert figures[0] == figures[1]
