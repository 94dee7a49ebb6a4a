"""Work that is matrix products most of all: a product, a correlation, a recurrent network."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from nautilus_metal.bench.case import Case, Floor, Size, need_cuda
from nautilus_metal.bench.libraries import array_library
from nautilus_metal.bench.rates import Rates
from nautilus_metal.engine import ComputeEngine, threads_for
from nautilus_metal.engine.precision import whole_products
from nautilus_metal.kernels.covariance import correlation
from nautilus_metal.models import create_financial_lstm, create_metal_model_wrapper
from nautilus_metal.models.fused_lstm import evaluated

_HIDDEN, _LAYERS, _FEATURES = 128, 2, 5


class Problem(NamedTuple):
    """The engine, numbers on the host in float64 and float32, and those on the device."""

    engine: ComputeEngine
    exact: np.ndarray
    host: np.ndarray
    device: torch.Tensor


def _problem(engine: ComputeEngine, shape: tuple[int, ...]) -> Problem:
    exact = np.random.default_rng(0).normal(size=shape)
    return Problem(engine, exact, exact.astype(np.float32), engine.upload(exact, torch.float32))


def _square(engine: ComputeEngine, side: int) -> Problem:
    return _problem(engine, (side, side))


def _product(problem: Problem) -> np.ndarray:
    with whole_products(problem.engine.device):
        return problem.engine.download((problem.device @ problem.device)[:8])


def _numpy_product(problem: Problem) -> np.ndarray:
    return (problem.host @ problem.host)[:8]


def _history(engine: ComputeEngine, assets: int, periods: int) -> Problem:
    return _problem(engine, (assets, periods))


def _correlation(problem: Problem) -> np.ndarray:
    with whole_products(problem.engine.device), threads_for(0):  # on the host the product is numpy's, the rest little
        return problem.engine.download(correlation(problem.engine.upload(problem.exact, torch.float32)))


def _numpy_correlation(problem: Problem) -> np.ndarray:
    return np.corrcoef(problem.exact)


def _numpy_correlation_32(problem: Problem) -> np.ndarray:
    return np.asarray(np.corrcoef(problem.exact.astype(np.float32), dtype=np.float32))


def _torch_correlation(problem: Problem) -> np.ndarray:
    with whole_products(problem.engine.device):
        moved = torch.from_numpy(problem.exact).float().to(problem.engine.device)
        return torch.corrcoef(moved).cpu().double().numpy()


def _array_correlation(name: str) -> Any:
    def run(problem: Problem) -> np.ndarray:
        library = array_library(name)
        found = library.corrcoef(library.asarray(problem.exact.astype(np.float32)))
        return np.asarray(found.get() if hasattr(found, "get") else found)

    return run


class Network(NamedTuple):
    """Windows of features, the network in its wrapper, and a plain one of the same weights on the device."""

    engine: ComputeEngine
    windows: torch.Tensor
    wrapped: Any
    plain: nn.Module


def _network(engine: ComputeEngine, batch: int, steps: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_financial_lstm(_FEATURES, _HIDDEN, _LAYERS).eval()
        plain = create_financial_lstm(_FEATURES, _HIDDEN, _LAYERS).eval()
    plain.load_state_dict(model.state_dict())
    windows = torch.from_numpy(np.random.default_rng(0).normal(size=(batch, steps, _FEATURES))).float()
    return Network(engine, windows, create_metal_model_wrapper(model, engine), plain.to(engine.device))


def _wrapped(problem: Network) -> np.ndarray:
    return problem.wrapped(problem.windows).numpy()


def _torch_network(problem: Network) -> np.ndarray:
    with torch.inference_mode(), whole_products(problem.engine.device):
        return problem.plain(problem.windows.to(problem.engine.device)).cpu().numpy()


def _resident(engine: ComputeEngine, batch: int, steps: int) -> Network:
    """On the GPU beforehand: the windows, and the network in evaluation."""
    need_cuda(engine)
    made = _network(engine, batch, steps)
    return made._replace(windows=made.windows.to(engine.device))


def _evaluated(problem: Network) -> np.ndarray:
    with torch.no_grad(), whole_products(problem.engine.device):
        return evaluated(problem.plain, problem.windows).cpu().numpy()


def _lstm_floor(rates: Rates, size: Size) -> float | None:
    weights = 4 * _HIDDEN * (_FEATURES + _HIDDEN + (_LAYERS - 1) * 2 * _HIDDEN)
    return rates.multiplied(2 * weights * size["batch"] * size["steps"])


def _check(_: Any, ours: np.ndarray, theirs: np.ndarray) -> None:
    """To float32 rounding of sums of as many terms."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * max(1.0, float(np.abs(theirs).max())))


_LSTM_FLOOR = Floor("the products of all steps at the measured rate of matrix products", _lstm_floor)

CASES = (
    Case(
        name="matmul",
        title="a float32 matrix product, its first rows to the host",
        sizes=({"side": 2_048},),
        quick=({"side": 64},),
        prepare=_square,
        ours=_product,
        peers={"numpy": _numpy_product},
        check=_check,
        floor=Floor(
            "2 side^3 operations at the measured rate of matrix products",
            lambda rates, size: rates.multiplied(2 * size["side"] ** 3),
        ),
        on_cpu=True,
    ),
    Case(
        name="correlation",
        title="the correlation of return histories, from host to host",
        sizes=({"assets": 1_000, "periods": 2_520},),
        quick=({"assets": 10, "periods": 50},),
        prepare=_history,
        ours=_correlation,
        peers={
            "numpy": _numpy_correlation,
            "numpy, float32": _numpy_correlation_32,
            "torch eager, same device": _torch_correlation,
            "CuPy": _array_correlation("cupy"),
            "JAX": _array_correlation("jax.numpy"),
        },
        check=_check,
        floor=Floor(
            "assets^2 periods operations, the matrix being symmetric, at the measured rate of matrix products",
            lambda rates, size: rates.multiplied(size["assets"] ** 2 * size["periods"]),
        ),
        on_cpu=True,
        asked={"numpy": 1.0, "numpy, float32": 1.0, "torch eager, same device": 1.0},
    ),
    Case(
        name="lstm",
        title=f"inference by an LSTM of {_LAYERS} layers of {_HIDDEN}, from host to host",
        sizes=({"batch": 512, "steps": 60},),
        quick=({"batch": 8, "steps": 5},),
        prepare=_network,
        ours=_wrapped,
        peers={"torch eager, same device": _torch_network},
        check=_check,
        floor=_LSTM_FLOOR,
        on_cpu=True,
        asked={"torch eager, same device": 1.0},
    ),
    Case(
        name="cuda_lstm",
        title="the same of windows that are on the GPU",
        sizes=({"batch": 512, "steps": 60},),
        quick=({"batch": 130, "steps": 5},),
        prepare=_resident,
        ours=_evaluated,
        peers={"torch eager, same device": _torch_network},
        check=_check,
        floor=_LSTM_FLOOR,
    ),
)
