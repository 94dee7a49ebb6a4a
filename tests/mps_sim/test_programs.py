"""A small financial program on the simulated device, and whole programs run under it."""

import math
import os
import subprocess
import sys
from pathlib import Path

import mps_sim
import torch

HERE = Path(__file__).parent
PATHS, STEPS, YEARS = 20_000, 64, 1.0

SPOT, RATE, VOLATILITY = torch.tensor([100.0, 80.0]), 0.03, torch.tensor([0.2, 0.3])


def gbm_paths(normals):
    """Two correlated geometric Brownian motions, (asset, path, step), from independent normals of that shape."""
    device, dt = normals.device, YEARS / STEPS
    factor = torch.linalg.cholesky(torch.tensor([[1.0, 0.6], [0.6, 1.0]], device=device))
    spot, volatility = SPOT.to(device)[:, None, None], VOLATILITY.to(device)[:, None, None]
    shocks = (factor @ normals.reshape(2, -1)).reshape(normals.shape)
    return spot * torch.exp(
        torch.cumsum((RATE - volatility**2 / 2) * dt + volatility * math.sqrt(dt) * shocks, dim=2)
    )


def ema(x, alpha, block=16):
    """Exponential moving average along the last dimension, one triangular matmul per block."""
    powers = (1 - alpha) ** torch.arange(block + 1, dtype=torch.float32, device=x.device)
    lag = torch.arange(block, device=x.device)[:, None] - torch.arange(block, device=x.device)[None, :]
    weights = torch.where(lag >= 0, alpha * powers[lag.clamp(min=0)], torch.zeros((), device=x.device))
    state, out = x[..., :1], []
    for chunk in x.split(block, dim=-1):
        out.append(chunk @ weights.T + state * powers[1:])
        state = out[-1][..., -1:]
    return torch.cat(out, dim=-1)


def risk(paths, level=0.99):
    loss = SPOT.sum().to(paths.device) - paths[:, :, -1].sum(0)
    tail = torch.topk(loss, round((1 - level) * loss.numel())).values
    return tail[-1], tail.mean()


def call_price(terminal, strike):
    payoff = math.exp(-RATE * YEARS) * torch.relu(terminal - strike)
    return payoff.mean(), payoff.std() / math.sqrt(payoff.numel())


def test_financial_program():
    def program(normals):
        paths = gbm_paths(normals)
        averages = ema(paths, 0.1)
        return [paths, averages, *risk(paths), *call_price(paths[0, :, -1], 105.0)]

    generator = torch.Generator(device="mps").manual_seed(11)
    normals = torch.randn(2, PATHS, STEPS, device="mps", generator=generator)
    before = mps_sim.sync_count()
    mps = program(normals)
    assert mps_sim.sync_count() - before == 5  # four constants are copied to the device, cholesky looks for an error
    assert mps_sim.missing_ops() == {} == mps_sim.warnings()
    for a, b in zip(mps, program(normals.cpu()), strict=True):
        assert a.device.type == "mps"
        torch.testing.assert_close(a.cpu(), b, rtol=2e-6, atol=1e-5)
    # The moving average agrees with its definition.
    paths, averages = mps[0][:, :5].cpu().double(), mps[1][:, :5].cpu().double()
    value = paths[..., 0]
    for step in range(STEPS):
        value = 0.9 * value + 0.1 * paths[..., step]
        torch.testing.assert_close(averages[..., step], value, rtol=1e-5, atol=1e-4)
    # The price agrees with Black and Scholes for either device's random numbers.
    d1 = (math.log(100 / 105) + RATE + 0.2**2 / 2) / 0.2
    normal = torch.distributions.Normal(0.0, 1.0)
    exact = 100 * normal.cdf(torch.tensor(d1)) - 105 * math.exp(-RATE) * normal.cdf(torch.tensor(d1 - 0.2))
    for device in ("cpu", "mps"):
        seeded = torch.Generator(device=device).manual_seed(5)
        paths = gbm_paths(torch.randn(2, PATHS, STEPS, device=device, generator=seeded))
        price, error = call_price(paths[0, :, -1].cpu(), 105.0)
        assert abs(price - exact) < 4 * error
        value_at_risk, shortfall = risk(paths)
        assert 0 < value_at_risk < shortfall < SPOT.sum()
    assert mps_sim.peak_bytes() >= 4 * 2 * PATHS * STEPS


def run(arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE), **environment},
    )


def test_running_a_script(tmp_path):
    (tmp_path / "script.py").write_text(
        "import sys, torch\nprint(sys.argv[1:], torch.zeros(1, device='mps').device)\n"
    )
    result = run(["-m", "mps_sim", "script.py", "one"], tmp_path)
    assert result.stdout == "['one'] mps:0\n", result.stderr


def test_installation_after_use_of_torch(tmp_path):
    (tmp_path / "late.py").write_text(
        "import torch\n"
        "assert not torch.backends.mps.is_available()\n"
        "torch.manual_seed(0); torch.accelerator.current_accelerator(); torch.randn(3).sum()\n"
        "import mps_sim; mps_sim.install()\n"
        "assert torch.backends.mps.is_available()\n"
        "x = torch.ones(3, device='mps', requires_grad=True); (x * x).sum().backward()\n"
        "assert x.grad.sum().item() == 6\n"
    )
    result = run(["late.py"], tmp_path)
    assert result.returncode == 0, result.stderr
