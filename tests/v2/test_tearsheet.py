"""Risk in the host's tearsheet under NautilusTrader v2: our statistics and our chart in a real one."""

import json
import re

import numpy as np
import pytest
from nautilus_trader.analysis.tearsheet import create_tearsheet

from nautilus_metal.actors import RiskActor
from nautilus_metal.host.tearsheet import REPORTS, add_risk_to_tearsheet
from tests.small_system import DAY
from tests.v2.conftest import Script
from tests.v2.test_risk_actor import NAMES, closes, config, two


def test_a_tearsheet_has_the_chart_and_the_statistics(system, tmp_path):
    one = two(system)
    risk = add_risk_to_tearsheet(one.engine)
    script = Script({NAMES[0]: {5: 100}, NAMES[1]: {5: 50, 90: -50}})
    one.run([RiskActor(config())], [script])
    found = one.engine.get_result().stats_general
    (result,) = risk.results()
    assert found[REPORTS] == len(result.series.ts)
    for level in result.series.levels:
        assert found[f"{level:.0%} VaR Exceptions (RiskActor)"] == result.hits(level).sum()
        assert found[f"{level:.0%} VaR Kupiec p (RiskActor)"] == pytest.approx(result.scores[level].kupiec_p)
    held = result.series.quantity[result.pnl.row]
    day = result.pnl.ts // DAY - 1
    prices = np.column_stack(closes())
    np.testing.assert_allclose(result.pnl.total, (held * (prices[day] - prices[day - 1])).sum(axis=1), atol=1e-6)
    assert {0.0, 50.0} <= set(held[:, 1])
    path = tmp_path / "tearsheet.html"
    create_tearsheet(one.engine, output_path=str(path), config=risk.config())
    traces = {json.loads(f'"{name}"') for name in re.findall(r'"name":"((?:[^"\\]|\\.)*)"', path.read_text())}
    assert {f"{level:.0%} VaR (RiskActor)" for level in result.series.levels} <= traces


def test_a_tearsheet_of_an_engine_without_us_has_an_empty_chart(system):
    settings = add_risk_to_tearsheet(two(system).engine).config()
    other = two(system).run()
    assert "VaR (" not in create_tearsheet(other.engine, output_path=None, config=settings)
