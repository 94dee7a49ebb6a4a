"""Price paths by Monte Carlo, and the object that the function API offers them on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nautilus_metal.compat.background import in_background
from nautilus_metal.compat.manager import metal_device_manager
from nautilus_metal.compat.options import price_option_metal
from nautilus_metal.compat.results import OptionsPricingResult, PricePathsResult, made_by
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.governor import in_pieces
from nautilus_metal.kernels.brownian import Draws, draws
from nautilus_metal.kernels.normals import SAMPLERS
from nautilus_metal.kernels.paths import Parameters, black_scholes_paths
from nautilus_metal.risk.checks import finite
from nautilus_metal.risk.pricing_checks import choice, numbers, whole

_WORKLOAD = "monte_carlo"
_LIVE = 8  # tensors of a part's size that are held at once
_PART = 1 << 22  # random numbers made at a time: they stay small beside the result

Array = NDArray[np.floating]


class MetalMonteCarlo:
    """Monte Carlo simulation; `metal_monte_carlo` is the one that there is."""

    async def price_option(self, *args: Any, **kwargs: Any) -> OptionsPricingResult:
        """Price an option; see `price_option_metal`."""
        return await price_option_metal(*args, **kwargs)

    async def simulate_price_paths_gpu(
        self,
        initial_price: float,
        volatility: float,
        risk_free_rate: float,
        time_horizon: float,
        num_simulations: int = 100_000,
        num_steps: int = 1,
        *,
        dividend_yield: float = 0.0,
        sampler: str | None = None,
        seed: int = 0,
    ) -> PricePathsResult:
        r"""Simulate geometric Brownian motions, beside the running event loop.

        .. math:: S_{t+h} = S_t \exp((r - q - \sigma^2 / 2) h + \sigma \sqrt h Z)

        Parameters
        ----------
        initial_price : float
            Above 0.
        volatility : float
            Yearly.
        risk_free_rate, dividend_yield : float
            Yearly, continuously compounded decimals.
        time_horizon : float
            Years.
        num_simulations : int
            Paths.
        num_steps : int
            Equal steps of each path. The final price has the same law whatever their number.
        sampler : {"pseudo", "sobol"}, optional
            "pseudo" if nothing is said here or by `optimize_for_monte_carlo`.
        seed : int
            Of the random numbers: a path depends on it and on the path's place only, not on batches or the device.

        Returns
        -------
        PricePathsResult
            Float32, or float64 after `optimize_for_financial_computing` where the device has it.

        Raises
        ------
        InputError
            If an argument is outside its range.
        OutOfDeviceMemory
            If there is no room for a single path.
        """
        market = {
            "initial_price": float(numbers("initial_price", initial_price, above=0.0)),
            "volatility": float(numbers("volatility", volatility)),
            "risk_free_rate": finite(risk_free_rate, "`risk_free_rate`"),
            "time_horizon": float(numbers("time_horizon", time_horizon, above=0.0)),
            "dividend_yield": finite(dividend_yield, "`dividend_yield`"),
        }
        count, steps = whole("num_simulations", num_simulations, 1), whole("num_steps", num_steps, 1)
        stream = choice("sampler", sampler or _sampler(), SAMPLERS), whole("seed", seed, 0)
        return await in_background(lambda: _simulated(market, count, steps, *stream))


def _simulated(market: dict[str, float], count: int, steps: int, sampler: str, seed: int) -> PricePathsResult:
    manager = metal_device_manager
    devices: set[str] = set()
    batches = 0

    def work(engine: ComputeEngine) -> Array:
        nonlocal batches
        batches = 0
        devices.clear()
        paths: Array = np.empty((steps + 1, count), dtype=np.float64 if engine.dtype == torch.float64 else np.float32)

        def part(offset: int) -> Callable[[ComputeEngine, int, int], None]:
            def fill(where: ComputeEngine, first: int, last: int) -> None:
                nonlocal batches
                made = _paths(market, where, steps, last - first, sampler, seed, offset + first)
                paths[:, offset + first : offset + last] = made
                devices.add(str(where.device))
                batches += 1

            return fill

        most = manager.config.batch_size or max(1, _PART // steps)
        for offset in range(0, count, most):
            each = _LIVE * (steps + 1) * engine.dtype.itemsize
            in_pieces(engine, min(most, count - offset), each, part(offset))
        return paths

    chosen = manager.place(_WORKLOAD, "revaluation", count * steps)
    paths, done = manager.run("simulate_price_paths", chosen, work, lambda _: "+".join(sorted(devices)))
    return PricePathsResult(
        paths=paths,
        initial_price=market["initial_price"],
        time_horizon=market["time_horizon"],
        num_simulations=count,
        num_steps=steps,
        batches=batches,
        sampler=sampler,
        seed=seed,
        **made_by(done, str(paths.dtype)),  # type: ignore[arg-type]
    )


def _paths(
    market: dict[str, float], engine: ComputeEngine, steps: int, count: int, sampler: str, seed: int, start: int
) -> Array:
    """A range of paths, shape (steps + 1, count)."""
    made = draws(1, steps, 0, count, seed, sampler, start)
    with torch.inference_mode():
        normals = engine.upload(made.normals)
        one = torch.ones((1, count), dtype=engine.dtype, device=engine.device)
        parameters = Parameters(
            spot=one * market["initial_price"],
            volatility=one * market["volatility"],
            rate=one[0] * market["risk_free_rate"],
            expiry=one[0] * market["time_horizon"],
            dividend_yield=one[:, :1] * market["dividend_yield"],
        )
        drawn = Draws(normals, torch.empty((0, count), dtype=engine.dtype, device=engine.device))
        return engine.download(black_scholes_paths(parameters, drawn, one[:, :1]).spots[0])


def _sampler() -> str:
    asked = metal_device_manager.config.workload(_WORKLOAD).sampler
    return asked if asked in SAMPLERS else "pseudo"


metal_monte_carlo = MetalMonteCarlo()
