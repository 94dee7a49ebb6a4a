"""Monte Carlo through MLX, on a Mac or by its CPU build: the figures of torch, from the same random numbers."""

import importlib.util

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, mlx_arrays
from nautilus_metal.errors import DeviceError, InputError
from nautilus_metal.risk.pricing import price_option, price_options

needs_mlx = pytest.mark.skipif(
    importlib.util.find_spec("mlx") is None, reason="the extra mlx is not installed or not built for this system"
)
MARKET = {"spot": 100.0, "strike": 95.0, "expiry": 1.3, "rate": 0.05, "volatility": 0.25, "dividend_yield": 0.01}
ASIAN = {"style": "asian", "average": "arithmetic", "observations": 12}
CASES = {
    "european": {},
    "in steps": {"steps": 4},
    "without controls": {"control_variates": False},
    "arithmetic": ASIAN,
    "geometric": ASIAN | {"average": "geometric"},
    "between dates": ASIAN | {"observations": 3, "steps": 12},
}


@needs_mlx
@pytest.mark.parametrize("sampler", ["pseudo", "antithetic", "sobol"])
@pytest.mark.parametrize("name", CASES)
def test_figures_are_those_of_torch(name, sampler):
    asked = MARKET | {"num_simulations": 4_096, "sampler": sampler, "seed": 3} | CASES[name]
    found = price_option("put", backend="mlx", **asked)
    with ComputeEngine("cpu") as engine:
        expected = price_option("put", engine=engine, method="monte_carlo", **asked)
    assert (found.device, found.precision, found.method) == (mlx_arrays.mlx_device(), "float32", "monte_carlo")
    assert found.price == pytest.approx(expected.price, rel=2e-6)
    for greek, value in expected.greeks.items():
        assert found.greeks[greek] == pytest.approx(value, rel=2e-5, abs=2e-6)
    for figure, error in expected.standard_errors.items():
        assert found.standard_errors[figure] == pytest.approx(error, rel=2e-3, abs=1e-6)


@needs_mlx
@pytest.mark.parametrize("kind", ["call", "put"])
def test_price_and_greeks_are_within_their_errors_of_the_closed_form(kind):
    found = price_option(kind, backend="mlx", num_simulations=200_000, seed=1, **MARKET)
    exact = price_option(kind, **MARKET)
    assert exact.method == "closed_form"
    assert abs(found.price - exact.price) < 4 * found.standard_errors["price"]
    for greek, value in exact.greeks.items():
        assert abs(found.greeks[greek] - value) < 4 * found.standard_errors[greek]


@needs_mlx
def test_a_batch_is_its_contracts():
    strikes = np.array([[80.0], [100.0]])
    asked = MARKET | {"strike": strikes, "volatility": [0.2, 0.3]}
    found = price_options(["call", "put"], "asian", average="arithmetic", observations=4, backend="mlx",
                          num_simulations=2_000, **asked)  # fmt: skip
    assert found.price.shape == (2, 2)
    one = MARKET | {"strike": 100.0, "volatility": 0.3}
    alone = price_option("put", "asian", average="arithmetic", observations=4, backend="mlx",
                         num_simulations=2_000, **one)  # fmt: skip
    assert found[1, 1].price == pytest.approx(alone.price, rel=1e-5)


@needs_mlx
def test_without_uncertainty_nothing_is_simulated():
    found = price_option("call", backend="mlx", **(MARKET | {"expiry": 0.0}))
    assert (found.price, found.method, found.device) == (5.0, "closed_form", "cpu")


@needs_mlx
def test_arrays_come_back_in_the_same_memory():
    array = mlx_arrays.to_mlx(torch.arange(6.0, dtype=torch.float64).reshape(2, 3)) * 2
    tensor = mlx_arrays.from_mlx(array)
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]
    assert tensor.data_ptr() == np.asarray(array).ctypes.data


@needs_mlx
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"style": "digital", "payout": 1.0}, "`backend` must be 'torch' for style 'digital'"),
        ({"style": "american"}, "`backend` must be 'torch' for style 'american'"),
        ({"model": "merton", "jump_intensity": 1.0, "jump_mean": 0.0, "jump_std": 0.1}, "'merton', was 'mlx'"),
        ({"method": "closed_form"}, "`method` must be 'auto' or 'monte_carlo' for backend 'mlx', was 'closed_form'"),
        ({"method": "lattice"}, "`method` must be 'auto' or 'monte_carlo' for backend 'mlx', was 'lattice'"),
        ({"backend": "jax"}, "`backend` must be one of torch, mlx, was 'jax'"),
    ],
)
def test_what_mlx_has_not_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        price_option(**(MARKET | {"backend": "mlx"} | changes))


@needs_mlx
def test_an_engine_is_refused():
    with ComputeEngine("cpu") as engine, pytest.raises(InputError, match="`engine` must be None for backend 'mlx'"):
        price_option(backend="mlx", engine=engine, **MARKET)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(mlx_arrays, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"not installed: pip install 'nautilus_metal\[mlx\]'"):
        price_option(backend="mlx", **MARKET)


def test_a_package_that_does_not_load_says_why(monkeypatch):
    def broken(name):
        raise ImportError("libmlx.so: no such file")

    monkeypatch.setattr(mlx_arrays, "find_spec", lambda name: object())
    monkeypatch.setattr(mlx_arrays, "import_module", broken)
    with pytest.raises(DeviceError, match=r"does not work here: libmlx\.so: no such file"):
        price_option(backend="mlx", **MARKET)
