"""A real TradingNode on replayed data and the sandbox: trades, reports, stops clean."""

import threading


def test_a_node_trades_reports_and_stops_by_itself(live_run, make, market):
    threads = threading.active_count()
    heard = live_run([make.risk_actor()], [make.strategy()])
    assert heard.in_time
    assert len(heard.fills) > 10
    assert {str(fill.instrument_id) for fill in heard.fills} == set(market.instruments)
    report = heard.reports[-1]
    assert set(report.positions) <= set(market.instruments)
    assert report.uncovered == {}
    assert report.es(0.99) >= report.var(0.99) >= 0.0
    assert any(report.levels and report.var(0.99) > 100.0 for report in heard.reports)
    assert heard.cached["open"] == 0  # the strategy flattens at the stop, before the sandbox goes
    assert threading.active_count() <= threads


def test_until_stops_the_node_in_the_middle_of_the_replay(live_run, make):
    heard = live_run(
        [make.risk_actor()], [make.strategy()], until=lambda heard: len(heard.reports) >= 3, replay={"speed": 1.0}
    )
    assert heard.in_time
    assert 3 <= len(heard.reports) < 30


def test_time_out_is_said(live_run, make):
    assert not live_run([make.risk_actor()], until=lambda heard: False, timeout=0.3, replay={"speed": 1.0}).in_time
