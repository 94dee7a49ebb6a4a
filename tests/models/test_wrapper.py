"""Inference: deterministic, equal on every device, surviving failures, in batches that fit."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError
from nautilus_metal.models import (
    create_financial_lstm,
    create_financial_transformer,
    create_metal_model_wrapper,
    fused_lstm,
)
from nautilus_metal.models.memory import LiveTensors, largest_batch, peak_bytes
from tests.actors.pretender import Pretender

MIB = 2**20


@pytest.fixture(params=[create_financial_lstm, create_financial_transformer], ids=["lstm", "transformer"])
def network(request):
    torch.manual_seed(3)
    return request.param(dropout=0.3)


def windows(batch=6, time=12, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, time, 5)).astype(np.float32)


def test_one_input_has_one_answer_the_cpus_on_every_device(network, engine):
    wrapped = create_metal_model_wrapper(network, engine)
    first = wrapped(windows())
    assert torch.equal(wrapped.forward(windows()), first)
    assert network.training  # the caller's mode is the caller's
    expected = network.eval()(torch.from_numpy(windows()))
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-5)
    assert first.device.type == "cpu"
    assert not first.requires_grad
    assert wrapped.last_device == str(engine.device)
    assert wrapped.fallbacks == 0


def test_parameters_are_the_networks_own_and_the_device_follows_them(network, engine):
    wrapped = create_metal_model_wrapper(network, engine)
    before = wrapped(windows())
    assert [id(p) for p in wrapped.parameters()] == [id(p) for p in network.parameters()]
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    network(torch.from_numpy(windows())).square().mean().backward()
    optimizer.step()
    after = wrapped(windows())
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, network.eval()(torch.from_numpy(windows())), rtol=1e-4, atol=1e-5)
    assert next(network.parameters()).device.type == "cpu"


def test_a_device_failure_takes_the_cpu_for_that_call_and_comes_back(caplog):
    """The device fails in the second call, before its copy is used; the third call has it again."""
    failing = [False, True, False]
    calls = iter(failing)

    def trouble():
        if next(calls):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine = Pretender(trouble)
    wrapped = create_metal_model_wrapper(create_financial_lstm(hidden_size=8), engine)
    wrapped._copies[engine.device] = (wrapped_version(wrapped), wrapped.model.eval())
    answers, devices = [], []
    with caplog.at_level(logging.WARNING, "nautilus_metal"):
        for _ in failing[:2]:
            answers.append(wrapped(windows()))
            devices.append(wrapped.last_device)
        wrapped._copies[engine.device] = (wrapped_version(wrapped), wrapped.model.eval())
        answers.append(wrapped(windows()))
        devices.append(wrapped.last_device)
    assert devices == ["cuda:0", "cpu", "cuda:0"]
    assert wrapped.fallbacks == 1
    assert "illegal memory access" in wrapped.last_fault
    assert len(caplog.records) == 1
    torch.testing.assert_close(answers[1], answers[0])
    assert torch.equal(answers[2], answers[0])


def wrapped_version(wrapped):
    """Stand in for the copy that would be on the pretended GPU."""
    return tuple((id(v), v._version) for v in (*wrapped.model.parameters(), *wrapped.model.buffers()))


def test_a_failing_device_loses_its_copy_and_comes_back(engine, monkeypatch):
    """On the CPU itself there is nothing to fall to: the error is raised."""
    wrapped = create_metal_model_wrapper(create_financial_lstm(hidden_size=8), engine)
    first = wrapped(windows())

    def refuse(*_):
        raise RuntimeError("the command buffer was aborted")

    monkeypatch.setattr(wrapped._copies[engine.device][1], "forward", refuse)
    if engine.device.type == "cpu":
        with pytest.raises(RuntimeError, match="aborted"):
            wrapped(windows())
        return
    second = wrapped(windows())
    assert (wrapped.last_device, wrapped.fallbacks) == ("cpu", 1)
    third = wrapped(windows())
    assert (wrapped.last_device, wrapped.fallbacks) == (str(engine.device), 1)
    torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5)
    assert torch.equal(third, first)


def test_an_error_of_the_input_is_no_failure_of_the_device():
    wrapped = create_metal_model_wrapper(nn.Linear(3, 1), Pretender())
    wrapped._copies[wrapped.engine.device] = (wrapped_version(wrapped), wrapped.model)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        wrapped(np.zeros((2, 4)))
    assert wrapped.fallbacks == 0


def test_live_tensors_are_counted_as_they_come_and_go():
    with LiveTensors() as live:
        first = torch.zeros(MIB, dtype=torch.uint8)
        view = first.view(2, -1)
        second = first + 1
        del first, view, second
        third = torch.zeros(MIB // 2, dtype=torch.uint8)
    assert live.peak == 2 * MIB
    assert live.now == third.nbytes == MIB // 2


def test_measured_memory_is_what_a_known_computation_takes(engine):
    def work():
        block = torch.zeros(2 * MIB, dtype=torch.float32, device=engine.device)
        return block + 1.0

    taken = peak_bytes(engine, work)
    assert 16 * MIB <= taken <= 20 * MIB


@pytest.mark.parametrize("budget", [3, 20, 100])
def test_the_chosen_batch_fits_and_twice_it_was_tried(engine, budget):
    budget += 40 if engine.device.type == "cuda" else 0  # cuDNN's own scratch
    engine.pool.resize(budget * MIB)
    wrapped = create_metal_model_wrapper(create_financial_lstm(hidden_size=64), engine)
    found = wrapped.tune_batch_size(windows()[0])
    assert wrapped.batch_size == found.chosen
    assert found.budget_bytes == budget * MIB
    assert found.tried[found.chosen] <= found.budget_bytes
    assert found.tried[2 * found.chosen] > found.budget_bytes
    model = wrapped._copies[engine.device][1]
    again = peak_bytes(engine, lambda: wrapped._batch(torch.zeros(found.chosen, 12, 5), model, engine))
    assert again <= found.budget_bytes


@pytest.mark.parametrize(("most", "sizes"), [(1, [1, 2]), (4, [1, 2, 4, 8]), (6, [1, 2, 4, 6, 12])])
def test_no_larger_batch_than_is_of_use_and_still_twice_it_is_tried(most, sizes):
    with ComputeEngine("cpu") as engine:
        found = largest_batch(engine, torch.zeros, most)
    assert found.chosen == most
    assert list(found.tried) == sizes


def test_a_batch_that_the_device_refuses_does_not_fit():
    def work(size):
        if size > 10:
            raise RuntimeError("MPS backend out of memory")
        return torch.zeros(size)

    with ComputeEngine("cpu") as engine:
        found = largest_batch(engine, work, 1_000)
    assert (found.chosen, found.tried[16]) == (8, None)


def test_a_network_that_does_not_fit_at_all_is_refused():
    with ComputeEngine("cpu") as engine:
        engine.pool.resize(1_000)
        with pytest.raises(InputError, match="must fit with one sample in 1000 bytes"):
            create_metal_model_wrapper(create_financial_lstm(), engine).tune_batch_size(windows()[0])


def test_batches_change_no_answer(network, engine):
    wrapped = create_metal_model_wrapper(network, engine)
    whole = wrapped(windows(50))
    for size in (1, 7, 50, 64):
        wrapped.batch_size = size
        torch.testing.assert_close(wrapped(windows(50)), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 64, 65, 200])
def test_parts_of_the_cpu_change_no_answer(monkeypatch, batch):
    network, given = create_financial_lstm().eval(), windows(batch)
    monkeypatch.setattr(fused_lstm, "PART", 1)
    made = create_metal_model_wrapper(network, ComputeEngine("cpu"))(given)
    torch.testing.assert_close(made, network(torch.from_numpy(given)).detach(), rtol=1e-5, atol=1e-6)


def test_every_time_starts_and_ends_with_an_idle_device(engine, monkeypatch):
    wrapped, order = create_metal_model_wrapper(create_financial_lstm(hidden_size=8), engine), []
    evaluate, synchronize = wrapped._evaluate, engine.synchronize
    monkeypatch.setattr(wrapped, "_evaluate", lambda *a: (order.append("work"), evaluate(*a))[1])
    monkeypatch.setattr(engine, "synchronize", lambda: (order.append("wait"), synchronize())[1])
    made = wrapped.benchmark_performance(windows(), repeats=4, warm_up=2)
    assert order == ["wait", "work", "wait"] * 6
    assert (made.device, made.shape, made.repeats) == (str(engine.device), (6, 12, 5), 4)
    assert 0 < made.shortest_ms <= made.median_ms <= made.longest_ms
    assert made.samples_per_second == pytest.approx(6 / made.median_ms * 1e3)


def test_mixed_precision_is_only_where_the_device_has_it(engine):
    network = create_financial_transformer()
    exact = create_metal_model_wrapper(network, engine)(windows())
    mixed = create_metal_model_wrapper(network, engine, mixed_precision=True)(windows())
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0.1, atol=0.05)
    assert torch.equal(mixed, exact) == (engine.device.type == "cpu")


def test_what_is_wrapped_is_not_wrapped_again():
    wrapped = create_metal_model_wrapper(create_financial_lstm(), ComputeEngine("cpu"))
    assert create_metal_model_wrapper(wrapped) is wrapped


def one_wrong(value: float) -> np.ndarray:
    made = np.zeros((2, 12, 5))
    made[1, 11, 4] = value
    return made


@pytest.mark.parametrize(
    "inputs",
    [np.zeros((0, 12, 5)), np.full((2, 12, 5), np.nan), np.float32(1.0), one_wrong(np.nan), one_wrong(-np.inf)],
)
def test_wrong_inputs_are_refused(inputs):
    with ComputeEngine("cpu") as engine, pytest.raises(InputError, match="`inputs` must be finite and"):
        create_metal_model_wrapper(create_financial_lstm(), engine)(inputs)


def test_finite_inputs_whose_sum_is_not_are_taken():
    with ComputeEngine("cpu") as engine:
        made = create_metal_model_wrapper(create_financial_lstm(), engine)(np.full((2, 12, 5), 3e38))
    assert torch.isfinite(made).all()


@pytest.mark.parametrize("model", [None, "lstm", nn.ReLU(), torch.zeros(3)])
def test_what_is_no_network_is_refused(model):
    with pytest.raises(InputError, match="`model` must be a torch module"):
        create_metal_model_wrapper(model)


@pytest.mark.parametrize("options", [{"repeats": 0}, {"repeats": 1.5}, {"warm_up": -1}])
def test_a_wrong_benchmark_is_refused(options):
    with ComputeEngine("cpu") as engine, pytest.raises(InputError, match=next(iter(options))):
        create_metal_model_wrapper(create_financial_lstm(), engine).benchmark_performance(windows(), **options)
