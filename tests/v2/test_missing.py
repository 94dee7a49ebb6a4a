"""What needs NautilusTrader v1 says so, and how it ends."""

import pytest

from nautilus_metal.cli import main
from nautilus_metal.errors import HostError
from nautilus_metal.live import LiveNode, ReplayDataClientConfig, live_config


@pytest.mark.parametrize("make", [lambda: LiveNode(None), ReplayDataClientConfig])
def test_it_is_refused_at_construction(make):
    with pytest.raises(HostError, match=r"needs NautilusTrader v1: "):
        make()


def test_a_config_of_a_live_node_is_refused():
    with pytest.raises(HostError, match=r"needs NautilusTrader v1: "):
        live_config(risk={"levels": [0.99]})


def test_a_command_says_so(capsys):
    assert main(["live", "--replay"]) == 2
    assert "needs NautilusTrader v1" in capsys.readouterr().err


def test_a_backtest_that_is_written_for_v1_is_refused_by_what_it_uses(capsys, tmp_path, monkeypatch):
    (tmp_path / "backtests").mkdir()
    (tmp_path / "backtests" / "mine.py").write_text("from nautilus_trader.backtest.engine import BacktestEngine\n")
    monkeypatch.chdir(tmp_path)
    assert main(["backtest", "mine"]) == 2
    assert "'mine' needs NautilusTrader v1: it uses nautilus_trader.backtest.engine" in capsys.readouterr().err
