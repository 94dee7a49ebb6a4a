"""Networks follow the settings of the function API."""

import torch

from nautilus_metal import (
    create_financial_lstm,
    create_metal_model_wrapper,
    create_metal_training_manager,
    metal_device_manager,
)
from nautilus_metal.engine import ComputeEngine

WINDOW = torch.randn(50, 6, 5, generator=torch.Generator().manual_seed(0))


def test_they_run_on_the_managers_device_in_its_batches(device):
    network = create_financial_lstm(hidden_size=8, num_layers=1)
    metal_device_manager.config.batch_size = 16
    wrapper = create_metal_model_wrapper(network)
    assert (str(wrapper.engine.device), wrapper.batch_size) == (device, 16)
    sizes = []
    network.model.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    found = wrapper(WINDOW)
    assert sizes == [16, 16, 16, 2]
    assert create_metal_model_wrapper(wrapper).model is wrapper.model is network.model
    torch.testing.assert_close(found, network(WINDOW).detach(), rtol=1e-4, atol=1e-5)


def test_forced_to_the_cpu_they_stay_there(monkeypatch):
    monkeypatch.setenv("FORCE_CPU_FALLBACK", "1")
    network = create_financial_lstm(hidden_size=8, num_layers=1)
    wrapper = create_metal_model_wrapper(network)
    assert wrapper.engine.device.type == create_metal_training_manager(network).engine.device.type == "cpu"
    assert create_metal_training_manager(wrapper).engine is wrapper.engine
    result = create_metal_training_manager(wrapper).train_model(WINDOW, WINDOW[:, 0, 0], epochs=2, progress=False)
    assert (result.epochs_run, result.device) == (2, "cpu")


def test_another_engine_is_taken_where_it_is_given():
    network = create_financial_lstm(hidden_size=8, num_layers=1)
    with ComputeEngine("cpu") as engine:
        assert create_metal_model_wrapper(network, engine).engine is engine
        assert create_metal_training_manager(network, engine).engine is engine
