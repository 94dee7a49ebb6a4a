"""A hedged run's folder gives its page back."""

import numpy as np
import pytest

from nautilus_metal.cli.main import main
from nautilus_metal.report.hedge_page import hedge_page
from nautilus_metal.report.hedge_run import UNHEDGED, HedgeRun, write_hedge_summary
from nautilus_metal.report.hedge_saved import write_hedge_days
from nautilus_metal.report.saved import DAILY_PNL, SUMMARY
from tests.report import browser
from tests.report.conftest import DAY, START

SOURCES = ("delta", "gamma", "vega", "theta", "costs", "rest")


@pytest.fixture
def hedged():
    rng = np.random.default_rng(0)
    books = {UNHEDGED: rng.normal(size=(90, 6)) * 100, "delta": rng.normal(size=(90, 6)) * 40}
    return HedgeRun(
        name="toy_hedge",
        title="A toy hedge",
        ts=START + np.arange(90) * DAY,
        sources=SOURCES,
        books=books,
        labels={UNHEDGED: "Nothing", "delta": "Delta hedge"},
        main="delta",
        gaps={"delta": 0.01},
        counts={"delta": {"orders": 3}},
        warning="MADE UP",
        wall_seconds=1.0,
        settings={"starting cash": "1 USD"},
        notes=["Made up."],
        made_with={"torch": "0.0.1"},
    )


@pytest.fixture
def folder(hedged, tmp_path):
    write_hedge_summary(hedged, tmp_path / SUMMARY)
    write_hedge_days(hedged, tmp_path / DAILY_PNL)
    return tmp_path


def test_the_page_made_again_is_the_same(hedged, folder, capsys):
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").read_text() == hedge_page(hedged)
    assert "Delta hedge: removes" in capsys.readouterr().out


def test_missing_days_are_said(folder, capsys):
    (folder / DAILY_PNL).unlink()
    assert main(["report", str(folder)]) == 2
    assert "no daily_pnl.parquet" in capsys.readouterr().err


def test_days_of_another_run_are_refused(hedged, folder, capsys):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"ts": hedged.ts}), folder / DAILY_PNL)
    assert main(["report", str(folder)]) == 2
    assert "are not of one hedged backtest" in capsys.readouterr().err


@pytest.mark.skipif(browser.find() is None, reason=f"no browser here: none of {', '.join(browser.BROWSERS)}")
def test_a_browser_shows_it_whole(hedged, tmp_path):
    seen = browser.look(hedge_page(hedged), tmp_path)
    assert seen["said"] == seen["loaded"] == seen["wide"] == []
    assert seen["overflow"] == 0
    assert all(width > 10 and height > 5 for width, height in seen["visible"].values())
