"""Messages in a data catalog of NautilusTrader v2, written by hand and streamed by a run."""

import pytest
from nautilus_trader.model import CustomData, DataType, NautilusDataType
from nautilus_trader.persistence import ParquetDataCatalog, StreamingConfig

from nautilus_metal.actors import RiskActor
from nautilus_metal.host.catalog import read_streamed, read_written
from nautilus_metal.messages import MESSAGES, RiskReport
from tests.small_system import DAY
from tests.test_messages import EXAMPLES
from tests.v2.conftest import Script
from tests.v2.test_risk_actor import NAMES, config, two


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_catalog_gives_back_what_it_was_given(kind, tmp_path):
    messages = [EXAMPLES[kind](ts=1_700_000_000_000_000_000 + day * DAY) for day in range(5)]
    catalog = ParquetDataCatalog(str(tmp_path))
    catalog.write_custom_data([CustomData(DataType(kind.__name__), message) for message in messages])
    assert [one.to_dict() for one in read_written(tmp_path, kind)] == [one.to_dict() for one in messages]


def test_a_run_streams_its_reports(system, tmp_path):
    script = Script({NAMES[0]: {60: 1_000}}, hears=(RiskReport,))
    one = two(system, streaming=StreamingConfig(str(tmp_path))).run([RiskActor(config())], [script])
    run = str(one.engine.instance_id)
    one.engine.dispose()
    heard = [message.to_dict() for message in script.heard]
    assert [one.to_dict() for one in read_streamed(tmp_path, "backtest", run, RiskReport)] == heard
    ParquetDataCatalog(str(tmp_path)).convert_stream_to_data(run, NautilusDataType.Custom("RiskReport"))
    assert [one.to_dict() for one in read_written(tmp_path, RiskReport)] == heard
    assert len(heard) == 120
