"""Results on the simulated device: those of the CPU, with views, gradients, modules and storages."""

import copy
import io
import pickle

import pytest
import torch

from tests.mps_sim.cases import assert_same, bits


@pytest.mark.parametrize(
    "name",
    [
        "exp",
        "matmul",
        "cumsum",
        "topk",
        "sort",
        "kthvalue",
        "cholesky",
        "solve",
        "index",
        "index_put",
        "scatter_add",
        "searchsorted",
        "where",
        "unfold",
        "fft",
        "conv1d",
        "conv_transpose2d",
        "cat",
        "einsum",
        "logsumexp",
        "median",
        "unique",
        "histc",
    ],
)
def test_operators_equal_the_cpu(name):
    functions = {
        "exp": lambda x: x.exp(),
        "matmul": lambda x: x @ x.T,
        "cumsum": lambda x: x.cumsum(1),
        "topk": lambda x: x.topk(3),
        "sort": lambda x: x.sort(stable=True),
        "kthvalue": lambda x: x.kthvalue(2),
        "cholesky": lambda x: torch.linalg.cholesky(x @ x.T + 8 * torch.eye(8, device=x.device)),
        "solve": lambda x: torch.linalg.solve(x, x[:, :2]),
        "index": lambda x: x[torch.tensor([1, 3]), 2:],
        "unfold": lambda x: x.unfold(1, 3, 2).mean(-1),
        "index_put": lambda x: x.clone().index_put_((x[:, 0] > 0,), torch.tensor(0.5, device=x.device)),
        "scatter_add": lambda x: torch.zeros_like(x).scatter_add_(1, x.argsort(1), x),
        "searchsorted": lambda x: torch.searchsorted(x.flatten().sort().values, x),
        "where": lambda x: torch.where(x > 0, x, 0.0),
        "fft": lambda x: torch.fft.irfft(torch.fft.rfft(x).conj() * 2),
        "cat": lambda x: torch.cat([x, x[:2]]),
        "conv1d": lambda x: torch.nn.functional.conv1d(x.view(1, 8, 8), x.view(4, 8, 2), x[0, :4]),
        "conv_transpose2d": lambda x: torch.conv_transpose2d(x.view(1, 2, 4, 8), x.view(2, 4, 4, 2), stride=2),
        "einsum": lambda x: torch.einsum("ij,kj->ik", x, x),
        "logsumexp": lambda x: x.logsumexp(0),
        "median": lambda x: x.median(1),
        "unique": lambda x: x.round().unique(return_counts=True),
        "histc": lambda x: x.histc(5, -2, 2),
    }
    x = torch.randn(8, 8)
    cpu, mps = functions[name](x), functions[name](x.to("mps"))
    for a, b in zip((mps,), (cpu,), strict=False) if isinstance(cpu, torch.Tensor) else zip(mps, cpu, strict=True):
        assert a.device.type == "mps"
        assert a.shape == b.shape
        assert torch.equal(bits(a), bits(b))


def test_quantile_is_close_to_the_cpu():
    x, q = torch.randn(8, 8), torch.tensor([0.1, 0.9])  # PyTorch computes ranks in float64 except on MPS
    torch.testing.assert_close(x.to("mps").quantile(q.to("mps"), dim=1).cpu(), x.quantile(q, dim=1))


def test_gradients_equal_the_cpu():
    def gradient(device):
        x = torch.linspace(-1, 1, 64).reshape(8, 8).to(device).requires_grad_()
        loss = (x @ x.T).tanh().cumsum(0)[1::2].sort(1).values.exp().var()
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        first.square().sum().backward()
        return x.grad

    assert_same(gradient("mps"), gradient("cpu"))


@pytest.mark.parametrize("name", ["LSTM", "GRU", "Transformer", "Conv1d"])
def test_modules(name):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = {
        "LSTM": lambda: torch.nn.LSTM(8, 5, 2),
        "GRU": lambda: torch.nn.GRU(8, 5),
        "Transformer": lambda: torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        "Conv1d": lambda: torch.nn.Conv1d(3, 4, 3, padding=1),
    }[name]()
    x = torch.randn(4, 3, 8)
    results = []
    for device in ("cpu", "mps"):
        here = copy.deepcopy(model).to(device)
        y = here(x.to(device))
        y = y[0] if isinstance(y, tuple) else y
        y.square().sum().backward()
        results.append([y.detach().cpu()] + [p.grad.cpu() for p in here.parameters()])
        assert all(p.grad.device.type == device for p in here.parameters())
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "AdamW fused", "RMSprop", "LBFGS"])
def test_training(optimizer):
    def train(device):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).to(device)
        x = torch.linspace(-1, 1, 96).reshape(32, 3).to(device)
        y = x.sum(1, keepdim=True)
        name, *fused = optimizer.split()
        step = getattr(torch.optim, name)(model.parameters(), lr=0.02, **({"fused": True} if fused else {}))

        def closure():
            step.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            return loss

        losses = [step.step(closure).item() for _ in range(30)]
        assert losses[-1] < 0.7 * losses[0]
        return losses

    assert train("mps") == pytest.approx(train("cpu"), rel=1e-3)


def test_function_transforms():
    x = torch.linspace(0.1, 1, 6, device="mps")
    assert_same(torch.vmap(torch.sin)(x), x.cpu().sin())
    close = torch.testing.assert_close
    close(torch.func.grad(lambda v: (v**3).sum())(x), 3 * x**2)
    close(torch.func.hessian(lambda v: v.square().sum())(x), 2 * torch.eye(6, device="mps"))
    close(torch.func.jvp(torch.exp, (x,), (x,))[1], x.exp() * x)
    close(torch.compile(lambda v: (v.exp() + 1).sum(), backend="aot_eager")(x), (x.exp() + 1).sum())


def test_autocast_and_inference_mode():
    x = torch.ones(4, 4, device="mps")
    with torch.autocast("mps", dtype=torch.float16):
        assert (x @ x).dtype == torch.float16
    with torch.inference_mode():
        y = x.view(16)
        assert not y.is_inference()
        assert (x + 1).is_inference()


# ------------------------------------------------------------------ views, in-place, storages


def test_views_share_memory():
    def program(x):
        x[1:3].T.unfold(0, 2, 2).add_(1.0)
        torch.mul(x[2:], 3.0, out=x[0:0])  # the view grows, over the memory of x
        x.view(16)[::5].fill_(9.0)
        return x

    x = program(torch.zeros(4, 4, device="mps"))
    assert_same(x, program(torch.zeros(4, 4)))
    assert x[2:].untyped_storage().data_ptr() == x.data_ptr()


def test_outputs_are_resized():
    out = torch.empty(0, device="mps")
    alias = out.detach()
    result = torch.add(torch.ones(300, device="mps"), 1.0, out=out)
    assert result is out
    assert out.shape == (300,)
    assert out.sum().item() == 600
    assert alias.shape == (0,)
    assert alias.untyped_storage().data_ptr() == out.untyped_storage().data_ptr()
    x = torch.arange(4.0, device="mps")
    x.resize_(2, 4).fill_(1.0)
    assert x.sum().item() == 8


def test_set_shares_storage():
    base = torch.arange(6.0, device="mps")
    x = torch.empty(0, device="mps")
    x.set_(base.untyped_storage(), 1, (2, 2), (2, 1))
    x.mul_(10.0)
    assert base.tolist() == [0, 10, 20, 30, 40, 5]
    assert torch.empty(0, device="mps").set_(base).data_ptr() == base.data_ptr()
    x.set_()
    assert x.numel() == 0
    with pytest.raises(RuntimeError):
        x.set_(torch.zeros(3))


def test_saving_and_copying(tmp_path):
    x = torch.arange(8.0, device="mps")
    torch.save({"x": x[2:], "whole": x}, tmp_path / "file.pt")
    loaded = torch.load(tmp_path / "file.pt")
    assert_same(loaded["x"], torch.arange(8.0)[2:])
    loaded["whole"][2] = 100.0
    assert loaded["x"][0].item() == 100.0  # shared storage stays shared
    assert torch.load(tmp_path / "file.pt", map_location="cpu")["x"].device.type == "cpu"
    buffer = io.BytesIO()
    torch.save(torch.ones(2), buffer)
    buffer.seek(0)
    assert torch.load(buffer, map_location="mps").device.type == "mps"
    assert_same(pickle.loads(pickle.dumps(x)), x.cpu())
    assert copy.deepcopy(torch.nn.Linear(2, 2, device="mps")).weight.device.type == "mps"
    assert torch.UntypedStorage(8, device="mps").device.type == "mps"
