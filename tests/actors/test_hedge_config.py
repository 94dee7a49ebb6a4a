"""The HedgeActor's settings: read from a node's configuration, refused where they fit no run."""

import json
import math

import pytest
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId

from nautilus_metal.actors import HedgeActor, HedgeActorConfig
from nautilus_metal.errors import InputError

STOCK = InstrumentId.from_str("STK.SIM")
BARS = BarType.from_str(f"{STOCK}-1-MINUTE-LAST-EXTERNAL")


def test_a_node_s_configuration_makes_the_same_settings():
    """As strings, the way of an importable actor."""
    given = {"instruments": {"STK.SIM": ["STK.SIM"]}, "triggers": ["STK.SIM"], "bar_types": [str(BARS)]}
    decoded = HedgeActorConfig.parse(json.dumps(given | {"target": "minimum_es"}))
    instruments = {"STK.SIM": ("STK.SIM",)}
    expected = HedgeActorConfig(instruments=instruments, triggers=(STOCK,), bar_types=(BARS,), target="minimum_es")
    assert decoded == expected
    assert HedgeActor(decoded).config.instruments == instruments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "gamma"}, "`target` must be one of delta, delta_gamma_vega"),
        ({"instruments": {}}, "`instruments` must name at least one underlying, was empty"),
        ({"instruments": {"A.X": ()}}, r"`instruments` of A.X must be a tuple of instrument IDs, was \(\)"),
        ({"instruments": {"A.X": ("B",)}}, "`instruments` of A.X must be instrument IDs, was 'B'"),
        ({"instruments": {"A.X": ("F.X",), "B.X": ("F.X",)}}, "must have F.X once, was with A.X and B.X"),
        ({"betas": {"STK.SIM": 0.0}}, "`betas` must be numbers other than 0 of `instruments`, that of STK.SIM was 0"),
        ({"betas": {"FUT.SIM": 1.0}}, "that of FUT.SIM was 1.0"),
        ({"target": "minimum_es"}, "`bar_types` must have bars of STK.SIM for the target minimum_es"),
        ({"target": "minimum_es", "bar_types": (BARS,), "volatility_indices": {"STK.SIM": "VIX.SIM"}}, "of VIX.SIM"),
        ({"level": 0.9999}, "`levels`"),
        ({"cost_weight": -1.0}, "`cost_weight` must be at least 0, was -1.0"),
        ({"rate": math.nan}, "`rate` must be a finite number, was nan"),
        ({"dividend_yields": {"STK.SIM": math.inf}}, "`dividend_yields` of STK.SIM must be a finite number"),
        ({"scenarios": 0}, "`scenarios` must be a whole number of at least 2, was 0"),
        ({"bands": {"rho": 1.0}}, "`bands` must be on delta, gamma, vega, was on 'rho'"),
        ({"bands": {"delta": -1.0}}, "must be at least 0, that of delta was -1.0"),
        ({"spot_move": {"ETF.SIM": 0.01}}, "`spot_move` of STK.SIM must be a finite number, was None"),
        ({"spot_move": 0.0}, "`spot_move` of STK.SIM must be above 0, was 0.0"),
        ({"timer_seconds": 0.0}, "`timer_seconds` must be above 0, was 0.0"),
        ({"option_days": (30.0, 7.0)}, "`option_days` must be two ascending numbers of days"),
    ],
)
def test_an_error_names_argument_requirement_and_value(change, message):
    with pytest.raises(InputError, match=message):
        HedgeActor(HedgeActorConfig(**{"instruments": {"STK.SIM": ("STK.SIM",)}} | change))
