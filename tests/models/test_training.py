"""Training: learns, counts, stops, keeps, resumes and fails as it says."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError, TrainingError
from nautilus_metal.models import (
    Recipe,
    create_financial_lstm,
    create_financial_transformer,
    create_metal_model_wrapper,
    create_metal_training_manager,
    load_checkpoint,
    save_checkpoint,
    training_run,
)
from nautilus_metal.models.precision import mixed_dtype

RECIPE = Recipe(("return",), window=30, length=6)


@pytest.fixture
def cpu():
    with ComputeEngine("cpu") as engine:
        yield engine


def problem(n=256, seed=0):
    """Windows whose target is the last value less the mean of the others, and noise."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 6, 3)).astype(np.float32)
    return x, x[:, -1, 0] - x[:, :-1, 0].mean(1) + draw.normal(scale=0.05, size=n).astype(np.float32)


def network(kind="lstm", dropout=0.0):
    torch.manual_seed(1)
    if kind == "lstm":
        return create_financial_lstm(3, 12, 2, 1, dropout)
    return create_financial_transformer(3, 16, 2, 1, 1, dropout, 16)


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_it_learns_on_every_device(engine, kind):
    model = network(kind)
    manager = create_metal_training_manager(model, engine)
    result = manager.train_model(
        *problem(), validation=problem(128, 1), epochs=15, batch_size=32, learning_rate=1e-2, progress=False
    )
    assert result.validation_losses[0] > 2 * result.best_loss
    assert result.best_loss < 0.25 * problem(128, 1)[1].var()
    assert (result.device, result.precision, result.epochs_run) == (str(engine.device), "float32", 15)
    assert len(result.losses) == len(result.validation_losses) == 15
    assert next(model.parameters()).device.type == "cpu"


def test_the_first_step_is_that_of_adamw_by_hand(cpu):
    """One batch, one epoch, against torch's own optimizer on the whole data."""
    model, twin = network(), network()
    x, y = (torch.from_numpy(part) for part in problem(32))
    result = create_metal_training_manager(model, cpu).train_model(
        x, y, epochs=1, batch_size=32, learning_rate=1e-2, weight_decay=0.1, clip_norm=0.01, progress=False
    )
    optimizer = torch.optim.AdamW(twin.parameters(), 1e-2, weight_decay=0.1)
    loss = (twin(x)[:, 0] - y).square().mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.01)
    optimizer.step()
    assert result.losses[0] == pytest.approx(loss.item(), rel=1e-6)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_early_stopping_counts_exactly_and_restores_the_best_weights(cpu):
    """The validation wants the opposite: it can only get worse."""
    model, (x, y) = network(), problem()
    result = create_metal_training_manager(model, cpu).train_model(
        x, y, validation=(x, -y), epochs=50, batch_size=32, learning_rate=1e-2, patience=3, progress=False
    )
    assert result.stopped_early
    assert result.epochs_run == len(result.losses) == result.best_epoch + 3 < 50
    assert result.best_loss == min(result.validation_losses) == result.validation_losses[result.best_epoch - 1]
    with torch.no_grad():
        now = (model(torch.from_numpy(x))[:, 0] + torch.from_numpy(y)).square().mean().item()
    assert now == pytest.approx(result.best_loss, rel=1e-5)


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (3, 4), (None, 7)])
def test_where_nothing_gets_better_it_ends_after_the_patience(cpu, patience, epochs):
    model, twin = network(), network()
    result = create_metal_training_manager(model, cpu).train_model(
        *problem(), validation=problem(64, 1), epochs=7, learning_rate=0.0, patience=patience, progress=False
    )
    assert (result.epochs_run, result.best_epoch) == (epochs, 1)
    assert result.stopped_early == (patience is not None)
    assert same_weights(model, twin)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_resumed_run_equals_an_uninterrupted_one(engine, tmp_path, kind):
    """Dropout included, and whether it ended between epochs or within one."""
    settings = {"batch_size": 32, "learning_rate": 1e-2, "validation": problem(64, 1), "progress": False, "seed": 5}
    whole, parts = network(kind, 0.3), network(kind, 0.3)
    expected = create_metal_training_manager(whole, engine).train_model(*problem(), epochs=6, **settings)
    settings["checkpoint"] = tmp_path / "part.pt"
    create_metal_training_manager(parts, engine).train_model(*problem(), epochs=2, **settings)
    torch.rand(7)  # the state of torch's own generators is of no account
    with pytest.raises(KeyboardInterrupt):
        interrupted(engine, kind, settings)
    fresh = network(kind, 0.3)
    result = create_metal_training_manager(fresh, engine).train_model(*problem(), epochs=6, resume=True, **settings)
    assert result.resumed_from == 3
    assert (result.losses, result.validation_losses) == (expected.losses, expected.validation_losses)
    assert (result.best_epoch, result.epochs_run) == (expected.best_epoch, 6)
    assert same_weights(fresh, whole)


def interrupted(engine, kind, settings):
    """Resume for one more epoch, and break off within the next."""
    left = [256 // 32 + 3]
    original = training_run.Data.batches

    def batches(self, size, order=None):
        for pair in original(self, size, order):
            if order is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
            yield pair

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run.Data, "batches", batches)
        model = network(kind, 0.3)
        create_metal_training_manager(model, engine).train_model(*problem(), epochs=6, resume=True, **settings)


def test_training_leaves_torchs_generators_as_they_were(cpu):
    manager = create_metal_training_manager(network(dropout=0.5), cpu)
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    manager.train_model(*problem(), epochs=1, progress=False)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 1e-4}, {"batch_size": 64}, {"data": True}])
def test_another_training_is_not_resumed(cpu, tmp_path, change):
    path, data = tmp_path / "one.pt", problem()
    settings = {"epochs": 1, "progress": False, "checkpoint": path}
    create_metal_training_manager(network(), cpu).train_model(*data, **settings)
    if change.pop("data", False):
        data = problem(seed=3)
    with pytest.raises(InputError, match="it differs in"):
        create_metal_training_manager(network(), cpu).train_model(*data, **settings | change, resume=True)


def test_a_checkpoint_holds_weights_config_and_scaler_and_runs_nothing(cpu, tmp_path):
    path, model = tmp_path / "deep" / "model.pt", network("transformer")
    facts = {"horizon": 1, "trained_to": 1_700_000_000_000_000_000}
    result = create_metal_training_manager(model, cpu).train_model(
        *problem(), epochs=3, checkpoint=path, scaler=RECIPE, facts=facts, progress=False
    )
    raw = torch.load(path, weights_only=True)
    assert raw["config"] == model.config
    found = load_checkpoint(path)
    assert (found.kind, found.config, found.scaler, found.facts) == ("transformer", model.config, RECIPE, facts)
    assert same_weights(found.network(), model)
    assert found.training["best_epoch"] == result.best_epoch
    assert [entry.name for entry in path.parent.iterdir()] == ["model.pt"]
    x = torch.from_numpy(problem()[0])
    assert torch.equal(found.network()(x), model.eval()(x))


def test_a_checkpoint_of_another_device_is_read_on_the_host(engine, tmp_path):
    path = tmp_path / "model.pt"
    manager = create_metal_training_manager(network(), engine)
    manager.train_model(*problem(), epochs=1, checkpoint=path, progress=False)
    kept = load_checkpoint(path)
    assert {value.device.type for value in kept.weights.values()} == {"cpu"}
    assert {value.device.type for value in kept.training["weights"].values()} == {"cpu"}


@pytest.mark.parametrize("content", [b"", b"no archive", "other", "code"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"weights": {}} if content == "other" else {"format": subprocess.Popen}, path)
    with pytest.raises(InputError, match="`checkpoint` must be"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_foreign_network_is_trained_but_not_kept(cpu, tmp_path):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(18, 1))
    manager = create_metal_training_manager(model, cpu)
    assert manager.train_model(*problem(), epochs=2, progress=False).epochs_run == 2
    with pytest.raises(InputError, match="`model` of a checkpoint"):
        manager.train_model(*problem(), epochs=1, checkpoint=tmp_path / "x.pt", progress=False)
    with pytest.raises(InputError, match="`model` of a checkpoint"):
        save_checkpoint(tmp_path / "x.pt", model)


def test_a_loss_that_is_not_finite_stops_with_its_place(engine, tmp_path):
    model, path = network(), tmp_path / "model.pt"
    manager = create_metal_training_manager(model, engine)
    x, y = problem()
    huge = y.copy()
    huge[100] = 3e19  # its square is beyond float32
    words = r"loss is inf in epoch 1, batch [1-8] of 8 .*learning rate 0\.001, .*before"
    with pytest.raises(TrainingError, match=words):
        manager.train_model(x, huge, epochs=3, batch_size=32, checkpoint=path, progress=False)
    assert not path.exists()
    assert same_weights(model, network())
    with pytest.raises(TrainingError, match="validation after epoch 1, batch 1 of 1"):
        manager.train_model(x, y, validation=(x, huge), epochs=3, progress=False)


def test_after_a_later_failure_the_best_weights_stay(cpu, monkeypatch):
    model, manager = network(), None
    losses, count = [], [0]

    class Fails(type(model)):
        def forward(self, window):
            count[0] += self.training
            return super().forward(window) * (math.nan if count[0] > 2 * 8 + 4 and self.training else 1.0)

    model.__class__ = Fails
    manager = create_metal_training_manager(model, cpu)
    monkeypatch.setattr(training_run.TrainingBar, "epoch", lambda self, *facts: losses.append(facts))
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 3, batch 5 of 8 .*weights are those of epoch 2"):
        manager.train_model(*problem(), epochs=5, batch_size=32)
    assert len(losses) == 2
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_mixed_precision_is_only_where_the_device_has_it(engine):
    model = network("transformer")
    result = create_metal_training_manager(model, engine).train_model(
        *problem(), epochs=8, batch_size=32, learning_rate=1e-2, mixed_precision=True, progress=False
    )
    has = mixed_dtype(engine.device)
    assert result.precision == ("float32" if has is None else "bfloat16")
    assert (has is None) == (engine.device.type == "cpu")
    assert result.losses[-1] < 0.5 * result.losses[0]
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


def test_progress_is_shown_epoch_by_epoch(cpu, capsys):
    manager = create_metal_training_manager(network(), cpu)
    manager.train_model(*problem(), validation=problem(64, 1), epochs=3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"training epoch {n}/3" for n in (1, 2, 3)]
    assert all("loss" in line and "validation" in line for line in lines)
    manager.train_model(*problem(), epochs=1, progress=False)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_that_ends_its_line(monkeypatch):
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    there = Terminal()
    bar = training_run.TrainingBar(2, True, there)
    bar.epoch(1, 0.5, None)
    bar.finish()
    assert there.text.startswith("\rtraining " + "█" * 12 + "░" * 12 + " epoch 1/2  loss 0.5")
    assert there.text.endswith("\n")


def test_a_wrapper_serves_the_weights_it_was_trained_to(engine):
    wrapped = create_metal_model_wrapper(network(), engine)
    x, _ = problem()
    before = wrapped(x)
    manager = create_metal_training_manager(wrapped)
    assert manager.engine is engine
    manager.train_model(*problem(), epochs=2, learning_rate=1e-2, progress=False)
    after = wrapped(x)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, wrapped.model.eval()(torch.from_numpy(x)).detach(), rtol=1e-4, atol=1e-5)


def test_data_beyond_the_memory_come_batch_by_batch(engine):
    """The same numbers as with the data on the device."""
    settings = {"epochs": 2, "batch_size": 32, "progress": False}
    one, two = network(), network()
    first = create_metal_training_manager(one, engine).train_model(*problem(), **settings)
    engine.pool.resize(2**14)
    second = create_metal_training_manager(two, engine).train_model(*problem(), **settings)
    assert first.losses == second.losses
    assert same_weights(one, two)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"patience": 0}, "patience"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"seed": -1}, "seed"),
        ({"resume": True}, "checkpoint"),
        ({"inputs": np.zeros((0, 6, 3)), "targets": np.zeros(0)}, "inputs"),
        ({"targets": np.zeros(5)}, "inputs"),
        ({"targets": np.zeros((256, 2))}, "targets"),
        ({"inputs": np.full((256, 6, 3), np.nan)}, "inputs"),
        ({"targets": np.where(np.arange(256) == 7, np.inf, 0.0)}, "targets"),
        ({"validation": (np.zeros((2, 6, 3)), np.zeros(3))}, "validation inputs"),
    ],
)
def test_a_wrong_argument_is_refused(cpu, change, argument):
    x, y = problem()
    options = {"inputs": x, "targets": y, "progress": False} | change
    with pytest.raises(InputError, match=f"`{argument}`.* must be"):
        create_metal_training_manager(network(), cpu).train_model(**options)


def test_a_sample_that_is_not_finite_is_named(cpu):
    x, y = problem()
    x[41, 2, 1] = np.nan
    with pytest.raises(InputError, match="sample 41 is not"):
        create_metal_training_manager(network(), cpu).train_model(x, y, progress=False)


def test_models_need_no_host_library():
    code = "import sys, nautilus_metal.models; sys.exit('nautilus_trader' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
