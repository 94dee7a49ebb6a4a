"""Risk in the host's tearsheet: a real one, made from a backtest, with our statistics and our chart in it."""

import json
import re

import numpy as np
import pytest
from nautilus_trader.analysis.tearsheet import create_tearsheet

from nautilus_metal.actors import RiskActor, RiskActorConfig
from nautilus_metal.host.tearsheet import CHART, REPORTS, add_risk_to_tearsheet
from tests.actors.conftest import Script, System
from tests.small_system import bar_type, walk

NAMES = ("AAA.XNYS", "BBB.XNYS")
DAYS, LEVELS = 160, (0.9, 0.95)


@pytest.fixture(scope="module")
def ran():
    """An engine that has run, and its tearsheet: both stocks held, one of them closed out half way."""
    system = System()
    engine = system.engine
    for seed, name in enumerate(NAMES):
        system.add(name, walk(seed, DAYS))
    kinds = tuple(bar_type(name) for name in NAMES)
    config = {"bar_types": kinds, "levels": LEVELS, "min_observations": 40, "window": 60}
    for model in ("normal", "historical"):
        engine.add_actor(RiskActor(RiskActorConfig(component_id=f"RISK-{model}", model=model, **config)))
    engine.add_strategy(Script({NAMES[0]: {5: 100}, NAMES[1]: {5: 50, 100: -50}}))
    risk = add_risk_to_tearsheet(engine)
    engine.run()
    yield engine, risk
    engine.dispose()


def test_statistics_are_those_of_the_reports(ran):
    engine, risk = ran
    found = engine.portfolio.analyzer.get_performance_stats_general()
    assert found[REPORTS] > 2 * (DAYS - 50)
    for result in risk.results():
        for level in LEVELS:
            name = f"{level:.0%} VaR {{}} ({result.series.source})"
            assert found[name.format("Exceptions")] == result.hits(level).sum()
            assert found[name.format("Exceptions Expected")] == pytest.approx(len(result.pnl.ts) * (1 - level))
            assert found[name.format("Kupiec p")] == result.scores[level].kupiec_p
            assert np.isfinite(found[f"{level:.0%} ES Mean Score ({result.series.source})"])


def test_clean_pnl_is_that_of_the_positions_at_the_next_closes(ran):
    _, risk = ran
    closes = np.column_stack([walk(seed, DAYS) for seed in range(2)])
    for result in risk.results():
        held = result.series.quantity[result.pnl.row]
        day = result.pnl.ts // (86_400 * 10**9) - 1  # the first bar is of day 1
        expected = (held * (closes[day] - closes[day - 1])).sum(axis=1)
        np.testing.assert_allclose(result.pnl.total, expected, atol=1e-6)
        assert {0.0, 50.0} <= set(held[:, 1])


def test_the_tearsheet_has_the_chart_and_the_statistics(ran, tmp_path):
    engine, risk = ran
    path = tmp_path / "tearsheet.html"
    create_tearsheet(engine, output_path=str(path), config=risk.config())
    html = path.read_text()
    assert "Against Value at Risk" in html
    traces = {json.loads(f'"{name}"') for name in re.findall(r'"name":"((?:[^"\\]|\\.)*)"', html)}
    for source in ("RISK-normal", "RISK-historical"):
        for level in ("90%", "95%"):
            assert {f"{level} VaR ({source})", f"Beyond {level} VaR ({source})"} <= traces
            assert f"{level} VaR Kupiec p ({source})" in html
    assert any(name.startswith("Clean P") for name in traces)


def test_a_tearsheet_of_an_engine_without_us_has_an_empty_chart():
    plain, other = System().add(NAMES[0], walk(0, 5)).run(), System()
    html = create_tearsheet(plain.engine, output_path=None, config=add_risk_to_tearsheet(other.engine).config())
    assert "VaR (" not in html
    for one in (plain, other):
        one.engine.dispose()


def test_a_second_run_starts_over(ran):
    engine, risk = ran
    before = [(result.series.source, len(result.series.ts)) for result in risk.results()]
    engine.reset()
    engine.run()
    assert [(result.series.source, len(result.series.ts)) for result in risk.results()] == before


def test_the_chart_goes_by_its_name():
    from nautilus_trader.analysis.tearsheet import _TEARSHEET_CHART_SPECS

    assert _TEARSHEET_CHART_SPECS[CHART]["type"] == "scatter"
