"""What a RiskActor takes over a restart: history, limits' states, what is known of options, and the model in use."""

import json
from typing import Any

from nautilus_metal.actors.bar_history import BarHistory
from nautilus_metal.actors.option_market import OptionMarket
from nautilus_metal.actors.risk_config import RiskActorConfig, with_model
from nautilus_metal.actors.risk_flow import TickFlow
from nautilus_metal.actors.risk_state import RiskState, pack, unpack
from nautilus_metal.errors import InputError
from nautilus_metal.risk.limits import LimitWatch


class RiskMemory:
    """Writes and restores the parts of a RiskActor.

    Parameters
    ----------
    config : RiskActorConfig
        The settings.
    bars, watch, market, flow
        The parts.
    """

    def __init__(
        self, config: RiskActorConfig, bars: BarHistory, watch: LimitWatch, market: OptionMarket, flow: TickFlow
    ) -> None:
        self._config, self._bars, self._watch, self._market, self._flow = config, bars, watch, market, flow

    def packed(self, priced_at: int) -> bytes:
        """Write the parts, and the UNIX nanoseconds of the last price."""
        memory = self._settings() | {
            "closed_at": self._bars.closed_at,
            "priced_at": priced_at,
            "broken": sorted(self._watch.broken),
            "options": self._market.state(),
            "models": [_named(self._config), _named(self._flow.config)],
        }
        return pack(RiskState(self._bars.window.state(), memory))

    def restore(self, data: bytes) -> int:
        """Restore the parts, and return the time of the last price.

        A model that was switched to is taken where the settings still name the one that it replaced.

        Raises
        ------
        InputError
            If the bytes are not such a state, or it is of other bars; nothing is restored then.
        """
        state = unpack(data)
        settings = {name: state.memory.get(name) for name in self._settings()}
        if settings != self._settings():
            raise InputError(f"`state` must be of {self._settings()}, was of {settings}")
        configured, used = state.memory.get("models", (None, None))
        if configured == _named(self._config) != used:
            self._flow.config = with_model(self._config, *used)
        self._bars.window.restore(state.window)
        self._bars.closed_at |= state.memory["closed_at"]
        self._watch.broken |= {(measure, level) for measure, level in state.memory["broken"]}
        self._market.restore(state.memory["options"])
        return int(state.memory["priced_at"])

    def _settings(self) -> dict[str, Any]:
        """What a saved history is worthless without: the bars that it is made of."""
        return {"bars": sorted(str(one) for one in self._config.bar_types) or self._config.bar_specification}


def _named(config: RiskActorConfig) -> list[Any]:
    """A model and its options as a saved state has them."""
    return [config.model, json.loads(json.dumps(config.model_options))]
