"""Settings of the ForecastActor, and the model that they name."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.host import ActorConfig, BarType
from nautilus_metal.models import MetalModelWrapper, Recipe, create_metal_model_wrapper, load_checkpoint
from nautilus_metal.models.features import Array


class ForecastActorConfig(ActorConfig, frozen=True, kw_only=True):
    """What a `ForecastActor` forecasts, and by which model.

    Parameters
    ----------
    checkpoint : str
        File that `train_model` has written with a `scaler`, for one output.
    bar_types : tuple of BarType
        The instruments' bars, at most one type for an instrument, of the interval that the model was trained on.
    warm_up : bool, default True
        Request history at the start, from the data client or, in a backtest, from its catalogs.
    state_path : str, optional
        File that keeps the windows from one run to the next, where the host has no database for them.
    """

    checkpoint: str
    bar_types: tuple[BarType, ...]
    warm_up: bool = True
    state_path: str | None = None


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """A network with what it needs to forecast returns.

    Attributes
    ----------
    kind : str
        Of the network.
    digest : str
        The first 16 digits of the SHA-256 of its file.
    recipe : Recipe
        How bars become its input.
    horizon : int
        Bars ahead.
    trained_to : int
        UNIX nanoseconds of the last bar that it has learned from; 0 where the file does not say.
    """

    kind: str
    digest: str
    recipe: Recipe
    horizon: int
    trained_to: int
    _network: MetalModelWrapper
    _width: int

    def evaluate(self, windows: Array, engine: ComputeEngine) -> Array:
        """Return forecasts in units of the scale, shape (n,), for windows of shape (n, length, columns)."""
        return self._network.evaluate_on(windows, engine)[:, 0].double().numpy()

    def elements(self, windows: int) -> int:
        """Size of the largest tensor of an inference, by which it is placed."""
        return windows * self.recipe.length * self._width


def load_model(config: ForecastActorConfig) -> ForecastModel:
    """Check the settings and load the model.

    Raises
    ------
    InputError
        If the checkpoint is not there, damaged, without a scaler or not of one output, or bar types are missing or
        twice for an instrument.
    """
    ids = [str(bar_type.instrument_id) for bar_type in config.bar_types]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if not ids or twice:
        raise InputError(f"`bar_types` must be one for each instrument, was {', '.join(twice) or 'none'}")
    found = load_checkpoint(config.checkpoint)
    recipe, network = found.scaler, found.network()
    if recipe is None:
        raise InputError(f"`checkpoint` must have a scaler, {config.checkpoint} has none")
    sizes = (found.config["input_size"], found.config["output_size"])
    if sizes != (len(recipe.columns), 1):
        raise InputError(
            f"`checkpoint` must map {len(recipe.columns)} features to 1 output, {config.checkpoint} maps "
            f"{sizes[0]} to {sizes[1]}"
        )
    digest = hashlib.sha256(Path(config.checkpoint).read_bytes()).hexdigest()[:16]
    wrapped = create_metal_model_wrapper(network, shared_engine("cpu"))
    width = 4 * max(found.config.get("hidden_size", 0), found.config.get("model_size", 0))
    facts = (int(found.facts.get("horizon", 1)), int(found.facts.get("trained_to", 0)))
    return ForecastModel(found.kind, digest, recipe, *facts, wrapped, width)
