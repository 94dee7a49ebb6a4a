"""Which kind of work a simulation of option prices is, and where it goes when its user names no engine."""

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.placement import placed
from nautilus_metal.engine.shared import shared_engine
from nautilus_metal.risk.pricing_device import SAMPLERS
from nautilus_metal.risk.pricing_plans import EARLY, step_counts
from nautilus_metal.risk.pricing_terms import Terms


def simulation_work(terms: Terms, paths: int, sampler: str) -> tuple[str, int]:
    """Name the kind of work, a row of `pricing_work.PRICING`, that a simulation is like, and its elements.

    Parameters
    ----------
    terms : Terms
        The contracts.
    paths : int
        Of each.
    sampler : str
        Where their random numbers come from.

    Returns
    -------
    tuple of str and int
        European and Asian options under Black-Scholes have kernels that make the numbers of "pseudo" and "fast" on
        the way; early exercise walks the paths of one contract after the other; the rest is like a digital option
        where paths have a single step, and like Heston's scheme where they have more. The elements are the random
        numbers that all paths take, those of one contract for early exercise.
    """
    steps, plain = int(step_counts(terms).max()), terms.model == "black_scholes"
    numbers = paths * steps * terms.assets * (1 if plain else 2)
    if plain and terms.style in EARLY:
        return "american", numbers
    walked = terms.style == "asian" or (terms.style == "european" and steps == 1)
    if plain and walked and terms.contracts == 1:
        return terms.style if sampler in SAMPLERS else "sobol", numbers
    return "digital" if steps == 1 else "heston", numbers * terms.contracts


def simulating_engine(terms: Terms, paths: int, sampler: str) -> ComputeEngine:
    """Where a simulation goes when its user names no engine."""
    shared = shared_engine()
    return shared if shared.device.type == "cpu" else placed(None, *simulation_work(terms, paths, sampler))
