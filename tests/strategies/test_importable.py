"""Configs of the strategies from text under NautilusTrader v1; v2 reads them so in tests/v2 and in tests/parity."""

import pytest
from nautilus_trader.trading.config import ImportableStrategyConfig, StrategyFactory

from nautilus_metal.errors import InputError
from strategies.rsi_reversion import RSIReversionConfig
from tests.strategies.conftest import bar_type_of
from tests.strategies.test_signals import ALL


def test_text_is_no_bar_type_in_code():
    with pytest.raises(InputError, match="`bar_types` must be BarType objects"):
        RSIReversionConfig(bar_types=("AAA.SIM-1-DAY-LAST-EXTERNAL",))


@pytest.mark.parametrize(("strategy", "config"), ALL)
def test_configs_are_importable(strategy, config):
    path = f"{strategy.__module__}:{strategy.__name__}"
    made = StrategyFactory.create(
        ImportableStrategyConfig(
            strategy_path=path,
            config_path=f"{path}Config",
            config={"bar_types": ["AAA.SIM-1-DAY-LAST-EXTERNAL"], "notional": 5_000.0},
        )
    )
    assert made.config.bar_types == (bar_type_of("AAA"),)
    assert made.config == config(bar_types=(bar_type_of("AAA"),), notional=5_000.0)
