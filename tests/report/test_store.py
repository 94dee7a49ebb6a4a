"""Reports go through the Parquet file without losing a digit."""

import pyarrow.parquet as pq
import pytest

from nautilus_metal.messages import RiskReport
from nautilus_metal.report import store
from nautilus_metal.report.store import ReportWriter


def report(i: int) -> RiskReport:
    levels = {"0.99": {"var": 0.1 + i, "es": 1e-300, "var_se": 1 / 3, "es_se": 0.0}}
    positions = {"A.SIM": {"quantity": -1.0, "price": 3.0, "value": -3.0, "component_var": {"0.99": 0.1 + i}}}
    uncovered = {"B.SIM": 'no "price" é'}
    return RiskReport(
        i, i + 1, "RISK", "normal", "sobol", "cpu", 7, 100, 1, "USD", -3.0, levels, positions, uncovered,
        2.5, 1e-7, 1.5, 0.25, i, 1 / 3, 0,
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 7])
def test_what_is_read_back_is_what_was_written(tmp_path, monkeypatch, count):
    monkeypatch.setattr(store, "ROWS_PER_GROUP", 3)
    made = [report(i) for i in range(count)]
    with ReportWriter(tmp_path / "r.parquet", RiskReport) as writer:
        for message in made:
            writer.add(message)
    table = pq.read_table(tmp_path / "r.parquet")
    assert table.schema.equals(RiskReport._schema)
    assert RiskReport.from_arrow(table) == made


def test_rows_are_those_of_the_messages_own_schema(tmp_path):
    with ReportWriter(tmp_path / "r.parquet", RiskReport) as writer:
        writer.add(report(1))
    own = RiskReport.from_arrow(report(1).to_arrow())
    assert RiskReport.from_arrow(pq.read_table(tmp_path / "r.parquet")) == own


def test_the_file_is_complete_when_the_run_fails(tmp_path):
    def fail() -> None:
        with ReportWriter(tmp_path / "r.parquet", RiskReport) as writer:
            writer.add(report(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(pq.read_table(tmp_path / "r.parquet")) == 1
