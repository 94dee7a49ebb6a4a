"""Checkpoints: a network's weights, what it was made with, its scaler, and where its training stands."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nautilus_metal.errors import InputError
from nautilus_metal.models.features import Recipe
from nautilus_metal.models.networks import NETWORKS, ForecastNetwork

_FORMAT = "nautilus_metal.model.1"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds.

    Attributes
    ----------
    kind : str
        Row of `nautilus_metal.models.networks.NETWORKS`.
    config : dict
        Arguments of the network.
    weights : dict of str to Tensor
        The best ones, on the host.
    scaler : Recipe or None
        How bars become inputs.
    facts : dict
        Plain values that the maker adds, for example `horizon` and `trained_to` (UNIX nanoseconds).
    training : dict or None
        Where the training stands, for `train_model(..., resume=True)`.
    """

    kind: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    scaler: Recipe | None
    facts: dict[str, Any]
    training: dict[str, Any] | None

    def network(self) -> ForecastNetwork:
        """Make the network with its weights, on the host, for evaluation."""
        made = NETWORKS[self.kind](**self.config)
        made.load_state_dict(self.weights)
        return made.eval()


def on_host(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy weights to the host."""
    return {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}


def check_can_be_kept(model: nn.Module) -> ForecastNetwork:
    """Return a network that a checkpoint can make again.

    Raises
    ------
    InputError
        If it is of another class.
    """
    if not isinstance(model, ForecastNetwork) or model.kind not in NETWORKS:
        raise InputError(
            f"`model` of a checkpoint must be one of {', '.join(NETWORKS)}, was a {type(model).__name__}"
        )
    return model


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    scaler: Recipe | None = None,
    facts: dict[str, Any] | None = None,
    weights: dict[str, Tensor] | None = None,
    training: dict[str, Any] | None = None,
) -> None:
    """Write a checkpoint in one step, so that a crash leaves the old file or the new one.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made.
    model : ForecastNetwork
        The network.
    scaler, facts, training
        As in `Checkpoint`.
    weights : dict of str to Tensor, optional
        Other weights than the network has now.

    Raises
    ------
    InputError
        If the network cannot be made again from a file.
    """
    network, target = check_can_be_kept(model), Path(path)
    content = {
        "format": _FORMAT,
        "kind": network.kind,
        "config": network.config,
        "weights": on_host(network.state_dict() if weights is None else weights),
        "scaler": None if scaler is None else scaler.to_dict(),
        "facts": facts or {},
        "training": training,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    torch.save(content, fresh)
    os.replace(fresh, target)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is run (`weights_only=True`).

    Raises
    ------
    InputError
        If the file is not there, or not a checkpoint of this package.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"`checkpoint` must be a file, {path} is not there") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"`checkpoint` must be one of this package, {path} cannot be read: {first}") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT or content.get("kind") not in NETWORKS:
        raise InputError(f"`checkpoint` must be of format {_FORMAT}, {path} is not")
    scaler = content["scaler"]
    return Checkpoint(
        content["kind"],
        content["config"],
        content["weights"],
        None if scaler is None else Recipe.from_dict(scaler),
        content["facts"],
        content["training"],
    )
