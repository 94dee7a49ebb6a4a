"""The kinds of work that simulated prices are, as samples by which a device is compared with the CPU beside it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.placement_measure import Work
from nautilus_metal.engine.placement_work import WORK
from nautilus_metal.risk.pricing import price_option

_MARKET: dict[str, Any] = {
    "spot": 100.0, "strike": 105.0, "expiry": 1.0, "rate": 0.05, "volatility": 0.2, "method": "monte_carlo",
}  # fmt: skip
_HESTON = {
    "model": "heston", "mean_reversion": 2.0, "long_run_volatility": 0.2, "volatility_of_variance": 0.4,
    "spot_correlation": -0.6,
}  # fmt: skip
_LOOPS = 2**19  # random numbers for which compiled loops are made


def _price(
    style: str, numbers: int, contract: dict[str, Any], engine: ComputeEngine, elements: int
) -> Callable[[], Any]:
    """A price with its Greeks, on paths of so many random numbers each."""

    def priced(paths: int) -> float:
        return price_option("put", style, num_simulations=paths, engine=engine, **(_MARKET | contract)).price

    priced(max(2, _LOOPS // numbers))
    return partial(priced, max(2, elements // numbers))


def _work(name: str, style: str, numbers: int, **contract: Any) -> Work:
    return Work(name, partial(_price, style, numbers, contract), own_threads=True)


PRICING: dict[str, Work] = {
    row.name: row
    for row in (
        _work("european", "european", 1),
        _work("asian", "asian", 64, observations=64),
        _work("sobol", "asian", 64, observations=64, sampler="sobol"),
        _work("american", "american", 50),
        _work("digital", "digital", 1),
        _work("heston", "european", 64, **_HESTON),
    )
}
ALL_WORK = WORK | PRICING
