"""Training of networks on a device: early stopping, checkpoints, resumption."""

import time
from pathlib import Path
from typing import Any

from torch import nn

from nautilus_metal.engine import ComputeEngine, shared_engine
from nautilus_metal.errors import InputError
from nautilus_metal.models.checkpoint import check_can_be_kept
from nautilus_metal.models.features import Recipe
from nautilus_metal.models.training_loop import TrainingLoop, TrainingSettings
from nautilus_metal.models.training_run import TrainingResult
from nautilus_metal.models.wrapper import MetalModelWrapper


class MetalTrainingManager:
    """Trains one network; made by `create_metal_training_manager`.

    Parameters
    ----------
    model : nn.Module
        Any network from (batch, time, features) to (batch, output), on the host, where it stays: a copy is trained.
    engine : ComputeEngine
        Where it is trained.
    """

    def __init__(self, model: nn.Module, engine: ComputeEngine) -> None:
        self.model, self.engine = model, engine

    def train_model(
        self,
        inputs: Any,
        targets: Any,
        *,
        validation: tuple[Any, Any] | None = None,
        epochs: int = 20,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        clip_norm: float = 1.0,
        patience: int | None = None,
        mixed_precision: bool = False,
        seed: int = 0,
        checkpoint: str | Path | None = None,
        scaler: Recipe | None = None,
        facts: dict[str, Any] | None = None,
        resume: bool = False,
        progress: bool = True,
    ) -> TrainingResult:
        """Train by AdamW on the mean squared error, and leave the network with the weights of its best epoch.

        Parameters
        ----------
        inputs, targets : array_like
            Shapes (n, time, features) and (n,) or (n, output).
        validation : pair of array_like, optional
            Inputs and targets that decide which epoch is best; without them the training's own loss does.
        epochs : int, default 20
            Epochs at most, those before a resumption included.
        batch_size : int, default 256
            Samples of a step.
        learning_rate, weight_decay : float
            Of AdamW.
        clip_norm : float, default 1.0
            Largest norm of all gradients together.
        patience : int, optional
            Epochs without a better one after which it ends.
        mixed_precision : bool, default False
            Matrix products in bfloat16 where the device has it; elsewhere nothing changes, and the result says so.
        seed : int, default 0
            Of order and dropout: epoch by epoch a function of the seed alone.
        checkpoint : str or Path, optional
            File that is written after every epoch.
        scaler, facts
            Kept in the checkpoint.
        resume : bool, default False
            Go on from `checkpoint` where there is one, as if there had been no interruption.
        progress : bool, default True
            Show epochs on standard error.

        Returns
        -------
        TrainingResult
            Epochs and losses.

        Raises
        ------
        InputError
            If an argument is wrong, or a checkpoint to resume is of another training.
        TrainingError
            If a loss is not finite. The network has the best weights of the epochs before; the checkpoint stays.
        """
        start = time.perf_counter()
        settings = TrainingSettings(
            batch_size, learning_rate, weight_decay, clip_norm, patience, mixed_precision, seed
        )
        if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
            raise InputError(f"`epochs` must be an integer of at least 1, was {epochs!r}")
        if resume and checkpoint is None:
            raise InputError("`checkpoint` must be given to resume, was None")
        if checkpoint is not None:
            check_can_be_kept(self.model)
        run = TrainingLoop(self.model, self.engine, settings, checkpoint, scaler, facts)
        try:
            run.load(inputs, targets, validation)
            resumed = run.resume() if resume else 0
            run.train(epochs, progress)
        finally:
            run.leave()
        state = run.state
        return TrainingResult(
            state.epoch,
            state.best_epoch,
            state.best_loss,
            tuple(state.losses),
            tuple(state.validation),
            state.epoch < epochs and state.out_of_patience(patience),
            resumed,
            str(self.engine.device),
            str(run.short or run.dtype).removeprefix("torch."),
            time.perf_counter() - start,
        )


def create_metal_training_manager(
    model: "nn.Module | MetalModelWrapper", engine: ComputeEngine | None = None
) -> MetalTrainingManager:
    """Make what trains a network.

    Parameters
    ----------
    model : nn.Module or MetalModelWrapper
        The network, or what wraps it: then its engine is used too, and it serves the new weights by itself.
    engine : ComputeEngine, optional
        Where to train; the process's shared one by default.

    Examples
    --------
    >>> import torch
    >>> from nautilus_metal.models import create_financial_lstm
    >>> manager = create_metal_training_manager(create_financial_lstm(3, 8, 1), shared_engine("cpu"))
    >>> result = manager.train_model(torch.randn(64, 10, 3), torch.randn(64), epochs=2, progress=False)
    >>> result.epochs_run
    2
    """
    if isinstance(model, MetalModelWrapper):
        return MetalTrainingManager(model.model, engine or model.engine)
    if not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        raise InputError(f"`model` must be a torch module with parameters, was {type(model).__name__}")
    return MetalTrainingManager(model, engine or shared_engine())
