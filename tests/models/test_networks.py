"""The networks: shapes, order of time, no look into the future, the same on every device."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nautilus_metal.engine.precision import whole_products
from nautilus_metal.errors import InputError
from nautilus_metal.models import create_financial_lstm, create_financial_transformer
from nautilus_metal.models.fused_lstm import packed
from nautilus_metal.models.networks import NETWORKS, positional_encoding

MAKERS = {"lstm": create_financial_lstm, "transformer": create_financial_transformer}


@pytest.fixture(params=MAKERS)
def network(request):
    torch.manual_seed(3)
    return MAKERS[request.param]().eval()


def windows(batch=4, time=12, features=5, seed=0):
    return torch.randn(batch, time, features, generator=torch.Generator().manual_seed(seed))


def test_a_window_becomes_a_forecast(network):
    assert network(windows()).shape == (4, 1)
    assert torch.isfinite(network(windows(time=1))).all()


def test_a_network_is_made_again_from_its_config(network):
    again = NETWORKS[network.kind](**network.config).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(windows()), network(windows()))


def test_permuting_the_past_changes_the_forecast(network):
    window = windows()
    order = torch.tensor([3, 1, 0, 2, *range(4, 12)])
    assert (network(window[:, order]) - network(window)).abs().min() > 1e-6


def test_only_the_encoded_position_tells_the_transformer_the_order_of_the_past():
    """Without it, attention from the last step is blind to the order of one layer's past."""
    network = create_financial_transformer(num_layers=1).eval()
    network.positions.zero_()
    window = windows()
    order = torch.tensor([3, 1, 0, 2, *range(4, 12)])
    torch.testing.assert_close(network(window[:, order]), network(window))


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_the_future_does_not_leak_into_earlier_steps(cut):
    network = create_financial_transformer(dropout=0.2).eval()
    window, other = windows(), windows(seed=1)
    other[:, :cut] = window[:, :cut]
    before, after = network.steps(window), network.steps(other)
    torch.testing.assert_close(before[:, :cut], after[:, :cut], rtol=0, atol=1e-6)
    assert (before[:, cut:] - after[:, cut:]).abs().max() > 1e-3
    torch.testing.assert_close(network(window[:, :cut]), before[:, cut - 1], rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_step_is_zero_in_the_future():
    window = windows().requires_grad_()
    create_financial_transformer().steps(window)[:, 6].sum().backward()
    assert (window.grad[:, 7:] == 0).all()
    assert (window.grad[:, :7].abs().amax(-1) > 0).all()


def test_the_lstm_equals_its_recursion_by_hand():
    """Gates of Hochreiter and Schmidhuber (1997) with forget gates, in float64."""
    network = create_financial_lstm(3, 4, 1, 2).double()
    window = windows(2, 6, 3).double()
    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    hidden = cell = np.zeros((2, 4))
    for step in window.numpy().transpose(1, 0, 2):
        gates = step @ weights["lstm.weight_ih_l0"].T + weights["lstm.bias_ih_l0"]
        gates += hidden @ weights["lstm.weight_hh_l0"].T + weights["lstm.bias_hh_l0"]
        enter, forget, candidate, leave = np.split(gates, 4, axis=1)
        cell = cell / (1 + np.exp(-forget)) + np.tanh(candidate) / (1 + np.exp(-enter))
        hidden = np.tanh(cell) / (1 + np.exp(-leave))
    expected = hidden @ weights["head.weight"].T + weights["head.bias"]
    np.testing.assert_allclose(network(window).detach().numpy(), expected, rtol=1e-12)


def test_positions_are_sines_and_cosines():
    table = positional_encoding(7, 6).numpy()
    for step in range(7):
        for channel in range(3):
            angle = step / 10_000 ** (2 * channel / 6)
            assert table[step, 2 * channel] == pytest.approx(np.sin(angle), abs=1e-6)
            assert table[step, 2 * channel + 1] == pytest.approx(np.cos(angle), abs=1e-6)


def test_a_device_equals_the_cpu_forwards_and_backwards(network, engine):
    window = windows()
    expected = network(window)
    expected.sum().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    network.train().to(engine.device)
    with whole_products(engine.device):
        there = network(engine.upload(window))
        there.sum().backward()
    np.testing.assert_allclose(engine.download(there), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        np.testing.assert_allclose(engine.download(parameter.grad), gradient.numpy(), rtol=1e-3, atol=1e-4)


def test_recurrences_on_cuda_are_in_whole_float32_and_settings_come_back():
    flags = torch.backends.cudnn
    before = (flags.enabled, flags.deterministic, flags.allow_tf32)
    with whole_products(torch.device("cuda")):
        assert (flags.enabled, flags.deterministic, flags.allow_tf32) == (True, True, False)
    assert (flags.enabled, flags.deterministic, flags.allow_tf32) == before
    with whole_products(torch.device("cpu")):
        assert (flags.enabled, flags.deterministic, flags.allow_tf32) == before


@pytest.mark.parametrize(
    ("maker", "options", "argument"),
    [
        ("lstm", {"input_size": 0}, "input_size"),
        ("lstm", {"hidden_size": -1}, "hidden_size"),
        ("lstm", {"num_layers": 1.5}, "num_layers"),
        ("lstm", {"output_size": True}, "output_size"),
        ("lstm", {"dropout": 1.0}, "dropout"),
        ("transformer", {"model_size": 65}, "model_size"),
        ("transformer", {"model_size": 6, "num_heads": 4}, "model_size"),
        ("transformer", {"num_heads": 0}, "num_heads"),
        ("transformer", {"dropout": float("nan")}, "dropout"),
    ],
)
def test_a_wrong_argument_is_refused(maker, options, argument):
    with pytest.raises(InputError, match=f"`{argument}` must be"):
        MAKERS[maker](**options)


@pytest.mark.parametrize("shape", [(4, 12), (4, 12, 6), (4, 0, 5)])
def test_a_window_of_another_shape_is_refused(network, shape):
    with pytest.raises(InputError, match=r"`window` must be of shape \(batch, time, 5\)"):
        network(torch.zeros(shape))


def test_a_window_longer_than_the_transformer_knows_is_refused():
    with pytest.raises(InputError, match="at most 8 steps"):
        create_financial_transformer(max_length=8)(windows())


def test_weights_are_packed_once_and_again_after_training_or_loading():
    """What the fused kernel reads is a copy of the weights."""
    model, made = create_financial_lstm(), []
    lstm = SimpleNamespace(pack_weights=lambda layers: made.append(layers.weight_ih_l0.sum().item()) or len(made))
    assert [packed(model, lstm), packed(model, lstm)] == [1, 1]
    model(windows()).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert [packed(model, lstm), packed(model, lstm)] == [2, 2]
    model.load_state_dict(create_financial_lstm().state_dict())
    assert packed(model, lstm) == 3
    assert len(set(made)) == 3
