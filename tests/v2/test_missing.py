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


@pytest.mark.parametrize("command", [["backtest", "portfolio_risk"], ["live", "--replay"]])
def test_commands_say_so(command, capsys):
    assert main(command) == 2
    assert "needs NautilusTrader v1" in capsys.readouterr().err
