"""Run as a module in a fresh process: the first and second call of each coroutine, and how far they hold the loop up.

With an argument, after `initialize_metal_acceleration`.
"""

import asyncio
import json
import sys

import numpy as np

from nautilus_metal import (
    calculate_bollinger_bands_metal,
    calculate_macd_metal,
    calculate_rsi_metal,
    initialize_metal_acceleration,
    metal_monte_carlo,
    price_option_metal,
)
from tests.heart import Heart

TERMS = {
    "spot_price": 100.0, "strike_price": 105.0, "time_to_expiry": 0.5, "risk_free_rate": 0.03, "volatility": 0.25,
}  # fmt: skip
PRICES = 100.0 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, 0.01, 100_000)))
LISTED = PRICES.tolist()
CALLS = {
    "price_option_metal": lambda: price_option_metal(**TERMS, num_simulations=1_000_000),
    "price_option": lambda: metal_monte_carlo.price_option(**TERMS, num_simulations=100_000, sampler="sobol"),
    "american": lambda: price_option_metal(**TERMS, num_simulations=10_000, style="american"),
    "simulate_price_paths_gpu": lambda: metal_monte_carlo.simulate_price_paths_gpu(
        100.0, 0.2, 0.05, 1.0, num_simulations=20_000, num_steps=50
    ),
    "calculate_rsi_metal": lambda: calculate_rsi_metal(LISTED),
    "calculate_macd_metal": lambda: calculate_macd_metal(LISTED),
    "calculate_bollinger_bands_metal": lambda: calculate_bollinger_bands_metal(LISTED),
}


async def worst_of_each() -> dict[str, float]:
    """Seconds of the latest beat during each call, for which this package is to blame."""
    heart, worst = Heart(), dict.fromkeys(CALLS, 0.0)
    beating = asyncio.create_task(heart.beat())
    for name in (*CALLS, *CALLS):
        await asyncio.sleep(0.02)
        before = len(heart.late)
        await CALLS[name]()
        await asyncio.sleep(0.005)
        worst[name] = max(worst[name], *heart.late[before:])
    beating.cancel()
    return worst


if __name__ == "__main__":
    if sys.argv[1:]:
        initialize_metal_acceleration(enable_logging=False)
    print(json.dumps(asyncio.run(worst_of_each())))
