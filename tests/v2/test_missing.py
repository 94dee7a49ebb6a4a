"""What needs NautilusTrader v1 says so."""

from nautilus_metal.cli import main


def test_a_backtest_that_is_written_for_v1_is_refused_by_what_it_uses(capsys, tmp_path, monkeypatch):
    (tmp_path / "backtests").mkdir()
    (tmp_path / "backtests" / "mine.py").write_text("from nautilus_trader.backtest.engine import BacktestEngine\n")
    monkeypatch.chdir(tmp_path)
    assert main(["backtest", "mine"]) == 2
    assert "'mine' needs NautilusTrader v1: it uses nautilus_trader.backtest.engine" in capsys.readouterr().err
