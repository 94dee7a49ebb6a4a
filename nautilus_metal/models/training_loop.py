"""One training: a network's copy on the device, its optimizer, its data, and where it stands."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.precision import whole_products
from nautilus_metal.errors import InputError, TrainingError
from nautilus_metal.models.checkpoint import check_can_be_kept, load_checkpoint, on_host, save_checkpoint
from nautilus_metal.models.features import Recipe
from nautilus_metal.models.networks import widest
from nautilus_metal.models.precision import cast, mixed_dtype
from nautilus_metal.models.training_run import Data, TrainingBar, drawn_from

_EVALUATION_BATCH = 4_096


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the numbers of a training, beside its data. Meanings: `MetalTrainingManager.train_model`."""

    batch_size: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    patience: int | None
    mixed_precision: bool
    seed: int

    def __post_init__(self) -> None:
        for name in ("batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"`{name}` must be an integer of at least 1, was {value!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"`seed` must be an integer of at least 0, was {self.seed!r}")
        for name, least in (("learning_rate", 0.0), ("weight_decay", 0.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least):
                raise InputError(f"`{name}` must be finite and at least {least:g}, was {value}")
        if not self.clip_norm > 0.0:
            raise InputError(f"`clip_norm` must be above 0, was {self.clip_norm}")


class TrainingState:
    """Where a training stands after its last whole epoch."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.losses: list[float] = []
        self.validation: list[float] = []
        self.best, self.best_loss, self.best_epoch = weights, math.inf, 0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.losses)

    def judge(self, weights: dict[str, Tensor]) -> None:
        """Keep the weights of the last epoch if it is the best so far."""
        judged = (self.validation or self.losses)[-1]
        if judged < self.best_loss:
            self.best, self.best_loss, self.best_epoch = on_host(weights), judged, self.epoch

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether there was no better epoch for so many."""
        return patience is not None and self.epoch - self.best_epoch >= patience


class TrainingLoop:
    """One call of `train_model`: the network on the device, its optimizer and its data."""

    def __init__(
        self,
        model: nn.Module,
        engine: ComputeEngine,
        settings: TrainingSettings,
        checkpoint: str | Path | None,
        scaler: Recipe | None,
        facts: dict[str, Any] | None,
    ) -> None:
        self._home, self._engine, self._settings = model, engine, settings
        self._model = copy.deepcopy(model)  # a device that fails takes no more than the copy with it
        self._checkpoint, self._scaler, self._facts = checkpoint, scaler, facts
        self.dtype = next(model.parameters()).dtype
        self.short = mixed_dtype(engine.device) if settings.mixed_precision else None
        self.state = TrainingState(on_host(model.state_dict()))

    def load(self, inputs: Any, targets: Any, validation: tuple[Any, Any] | None) -> None:
        """Check the data and bring data and network to the device."""
        self._data = Data("", inputs, targets, self._engine, self.dtype)
        self._validation = validation and Data("validation ", *validation, self._engine, self.dtype)
        self._model.to(self._engine.device)
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )

    def resume(self) -> int:
        """Take up the training in the checkpoint; return the epochs that it has."""
        assert self._checkpoint is not None
        if not Path(self._checkpoint).exists():
            return 0
        found = load_checkpoint(self._checkpoint)
        if found.training is None or found.config != check_can_be_kept(self._model).config:
            raise InputError(f"`checkpoint` must be of a training of this network, {self._checkpoint} is not")
        theirs = found.training["identity"]
        changed = [name for name, value in self._identity().items() if theirs.get(name) != value]
        if changed:
            raise InputError(f"`checkpoint` must be of the same training, it differs in {', '.join(changed)}")
        state, kept = self.state, found.training
        state.losses, state.validation = list(kept["losses"]), list(kept["validation"])
        state.best, state.best_loss, state.best_epoch = found.weights, kept["best_loss"], kept["best_epoch"]
        self._model.load_state_dict(kept["weights"])
        self._optimizer.load_state_dict(kept["optimizer"])
        return state.epoch

    def train(self, epochs: int, progress: bool) -> None:
        """Do epochs until there are enough, or patience ends."""
        bar = TrainingBar(epochs, progress)
        elements = widest(self._model, self._data.inputs, min(self._settings.batch_size, len(self._data)))
        with threads_for(elements), whole_products(self._engine.device):
            self._epochs(epochs, bar)

    def _epochs(self, epochs: int, bar: TrainingBar) -> None:
        state = self.state
        try:
            while state.epoch < epochs and not state.out_of_patience(self._settings.patience):
                loss = self._epoch(state.epoch + 1)
                judged = self._validate(state.epoch + 1)
                state.losses.append(loss)
                if judged is not None:
                    state.validation.append(judged)
                state.judge(self._model.state_dict())
                self._save()
                bar.epoch(state.epoch, loss, judged)
        finally:
            bar.finish()

    def leave(self) -> None:
        """Give the network its best weights."""
        self._home.load_state_dict(self.state.best)

    def _epoch(self, number: int) -> float:
        self._model.train()
        losses = []
        with drawn_from(self._settings.seed, number, self._engine.device) as generator:
            order = torch.randperm(len(self._data), generator=generator)
            for x, y in self._data.batches(self._settings.batch_size, order):
                self._optimizer.zero_grad()
                loss = self._loss(x, y)
                loss.backward()
                nn.utils.clip_grad_norm_(self._model.parameters(), self._settings.clip_norm)
                self._optimizer.step()
                losses.append(loss.detach())
        return self._mean(losses, self._data, self._settings.batch_size, f"epoch {number}")

    def _validate(self, number: int) -> float | None:
        if self._validation is None:
            return None
        self._model.eval()
        with torch.no_grad():
            losses = [self._loss(x, y) for x, y in self._validation.batches(_EVALUATION_BATCH)]
        return self._mean(losses, self._validation, _EVALUATION_BATCH, f"validation after epoch {number}")

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        with cast(self._engine.device, self.short):
            made = self._model(x)
        if made.shape != y.shape:
            raise InputError(f"`targets` must be of shape (n, {made.shape[-1]}), was (n, {y.shape[-1]})")
        return (made.to(y.dtype) - y).square().mean()

    def _mean(self, losses: list[Tensor], data: Data, size: int, where: str) -> float:
        """Average over samples in one transfer; the first loss that is not finite ends the training."""
        values = self._engine.download(torch.stack(losses))
        for batch, value in enumerate(values, start=1):
            if not math.isfinite(value):
                best = self.state.best_epoch
                kept = f"the weights are those of epoch {best}" if best else "the weights are those from before"
                raise TrainingError(
                    f"the loss is {value} in {where}, batch {batch} of {len(values)} (learning rate "
                    f"{self._settings.learning_rate:g}, {self.short or self.dtype} on {self._engine.device}): {kept}"
                )
        counts = [min(size, len(data) - first) for first in range(0, len(data), size)]
        return float(values @ counts) / len(data)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a resumed training to be the same training."""
        judged = self._validation.digest if self._validation is not None else None
        settings = {name: getattr(self._settings, name) for name in TrainingSettings.__dataclass_fields__}
        return settings | {"data": self._data.digest, "validation data": judged}

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        state, optimizer = self.state, self._optimizer.state_dict()
        training = {
            "identity": self._identity(),
            "losses": state.losses,
            "validation": state.validation,
            "best_loss": state.best_loss,
            "best_epoch": state.best_epoch,
            "weights": on_host(self._model.state_dict()),
            "optimizer": optimizer | {"state": {k: on_host(v) for k, v in optimizer["state"].items()}},
        }
        save_checkpoint(self._checkpoint, self._model, self._scaler, self._facts, state.best, training)
