"""A run's folder gives its page back; folders without a run say what is missing."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from nautilus_metal.cli.main import main
from nautilus_metal.errors import InputError
from nautilus_metal.messages import RiskReport
from nautilus_metal.report.page import page
from nautilus_metal.report.run import write_summary
from nautilus_metal.report.saved import (
    DAILY_PNL,
    OWN_PRICES,
    REPORTS,
    SUMMARY,
    load_run,
    own_prices,
    read_summary,
    run_of_reports,
    write_daily_pnl,
)
from nautilus_metal.report.series import GREEKS, collect
from nautilus_metal.report.store import ReportWriter
from tests.report.conftest import DAYS, make_report

MORE = {"value": 0.0, "worst_loss": 1.0, "ts_snapshot": 0, "age": 0.0, "skipped": 0}


def messages(run, closes):
    """The reports of the toy run as messages, models taking turns."""
    for day in range(DAYS):
        for result in run.results:
            model = result.series.model
            made = make_report(day, {"AAA.SIM": (1.0, float(closes[day, 0])), "BBB.SIM": (-2.0, 50.0)}, model=model,
                               source=f"RISK-{model}", uncovered={} if day > 5 else {"CCC.SIM": "no price <yet>"})
            yield RiskReport(made.ts_event, made.ts_event, **{
                name: getattr(made, name, MORE.get(name)) for name in RiskReport.__annotations__
            })  # fmt: skip


@pytest.fixture(scope="module")
def written(whole, prices, tmp_path_factory):
    made = tmp_path_factory.mktemp("run")
    write_summary(whole, made / SUMMARY)
    write_daily_pnl(whole.results, made / DAILY_PNL)
    with ReportWriter(made / REPORTS, RiskReport) as writer:
        for message in messages(whole, prices[1]):
            writer.add(message)
    return made


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "run")


def test_the_page_made_again_is_the_same(whole, folder, capsys):
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").read_text() == page(whole)
    said = capsys.readouterr().out
    assert "FAILS Kupiec's test" in said
    assert str(folder / "report.html") in said


def test_without_daily_pnl_prices_are_those_of_the_next_report(whole, folder):
    (folder / DAILY_PNL).unlink()
    again = load_run(folder, read_summary(folder))
    assert OWN_PRICES in again.notes
    assert OWN_PRICES not in whole.notes
    for result, one in zip(whole.results, again.results, strict=True):
        np.testing.assert_allclose(one.pnl.total, result.pnl.total)
        assert one.scores == result.scores


def test_days_without_a_next_price_are_left_out():
    held = [{"A": (1.0, 10.0)}, {"A": (1.0, 11.0), "B": (2.0, 5.0)}, {"A": (1.0, 12.0)}, {"A": (1.0, 9.0)}]
    pnl = own_prices(collect(make_report(day, positions) for day, positions in enumerate(held))[0])
    assert pnl.row.tolist() == [0, 2]
    assert pnl.total.tolist() == [1.0, -3.0]


def test_closes_stand_in_for_what_is_no_longer_reported():
    held = [{"A": (1.0, 10.0)}, {"A": (1.0, 11.0), "B": (2.0, 5.0)}, {"A": (1.0, 12.0)}, {"A": (1.0, 9.0)}]
    series = collect(make_report(day, positions) for day, positions in enumerate(held))[0]
    found = own_prices(series, {"B": (series.ts[:3], np.array([4.0, 5.0, 7.0]))})
    assert found.total.tolist() == [1.0, 1.0 + 2 * 2.0, -3.0]
    stale = own_prices(series, {"B": (series.ts[:2], np.array([4.0, 5.0]))})  # nothing since the report
    assert stale.row.tolist() == [0, 2]


def broken(name, text):
    def change(folder):
        (folder / name).write_text(text)

    return change


BAD = {
    "empty": (lambda folder: [path.unlink() for path in folder.iterdir()], "holds no run: there is no summary.json"),
    "no reports": (lambda folder: (folder / REPORTS).unlink(), "no risk_reports.parquet"),
    "not JSON": (broken(SUMMARY, "{"), "summary.json cannot be read"),
    "a list": (broken(SUMMARY, "[]"), "is not that of a risk backtest"),
    "another run": (broken(SUMMARY, '{"backtest": "x"}'), "is not that of a risk backtest: 'main_model'"),
    "not Parquet": (broken(REPORTS, "x"), "risk_reports.parquet cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_folder_without_a_run_says_so(case, folder, capsys):
    change, text = BAD[case]
    change(folder)
    assert main(["report", str(folder)]) == 2
    assert text in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nothing")]) == 2
    assert "`DIR` must be a folder of a run" in capsys.readouterr().err


def test_other_times_than_the_reports_are_refused(folder, whole):
    first = whole.results[0]
    late = replace(first.series, ts=first.series.ts + 1)
    write_daily_pnl([replace(result, series=late) for result in whole.results], folder / DAILY_PNL)
    with pytest.raises(InputError, match="must be of the reports beside it"):
        load_run(folder, read_summary(folder))


def test_a_catalog_of_reports_has_a_page(run, prices, tmp_path, capsys):
    from nautilus_trader.persistence.catalog import ParquetDataCatalog

    ParquetDataCatalog(tmp_path).write_data(list(messages(run, prices[1])))
    out = tmp_path / "page.html"
    assert main(["report", str(tmp_path), "--out", str(out)]) == 0
    assert "normal" in out.read_text()
    assert "FAILS" in capsys.readouterr().out


def test_reports_of_options_show_their_sensitivities(prices):
    option = {"delta": -40.0, "gamma": 2.0, "vega": 300.0, "theta": -730.0, "spot": 1_000.0}
    reports = []
    for day in range(30):
        made = make_report(day, {"AAA.SIM": (10.0, prices[1][day, 0]), "OPT.SIM": (-1.0, 5.0)})
        made.positions["OPT.SIM"] |= option
        reports.append(made)
    run = run_of_reports(reports, "Options")
    greeks = dict(zip(GREEKS, run.chosen.series.greeks[-1], strict=True))
    assert list(greeks.values()) == pytest.approx([10 * prices[1][29, 0] - 40_000, 20_000, 3.0, -2.0])
    html = page(run)
    assert 'id="greeks"' in html
    assert all(name in html for name in GREEKS)


def test_no_report_at_all():
    with pytest.raises(InputError, match="Nothing here has no risk report"):
        run_of_reports([], "Nothing here")


def test_the_summary_keeps_the_versions_of_its_run(whole, folder):
    facts = json.loads((folder / SUMMARY).read_text()) | {"versions": {"torch": "0.0.1"}}
    (folder / SUMMARY).write_text(json.dumps(facts))
    assert "torch 0.0.1" in page(load_run(folder, read_summary(folder)))
