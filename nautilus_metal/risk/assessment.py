"""The outcome of a risk calculation, with everything that made it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nautilus_metal.risk.book import Array, Book
from nautilus_metal.risk.inputs import Inputs

ByLevel = Mapping[float, float]
ByLevelAndPosition = Mapping[float, Array]


@dataclass(frozen=True, eq=False)
class RiskAssessment:
    """Value at risk and expected shortfall of a book. Losses are positive, amounts in the book's base currency.

    Attributes
    ----------
    book : Book
        The snapshot.
    value : float
        Its net value.
    var, es : mapping of level to float
        Value at risk and expected shortfall.
    var_se, es_se : mapping of level to float
        Their standard errors, by the jackknife: of the simulation, or of the sample where history itself is the
        sample. They take scenarios as independent (overlapping runs of history with their overlap allowed for), which
        overstates the error of the "sobol" sampler. With few scenarios beyond a level, under about 20, they are
        themselves rough, and rather too small for fat tails.
    component_var, component_es : mapping of level to ndarray
        Euler contributions, shape (positions,), which add up to `var` and `es`.
    marginal_var, marginal_es : mapping of level to ndarray
        Change of the figure for one more unit of base currency in each position, shape (positions,); NaN for an
        option without a price.
    worst_loss : float
        The largest loss of any scenario.
    worst_scenario : ndarray
        What each position loses in that scenario, shape (positions,); adds up to `worst_loss`.
    model, sampler, device, precision : str
        What made the figures; the sampler is "empirical" where history itself is the sample, "none" for no positions.
    model_details : mapping
        Settings and fitted parameters of the model.
    seed, scenarios, horizon : int
        Likewise; `horizon` in periods of the return history.
    drift : float or None
        Largest difference of P&L between the device and float64 on the host over a sample of scenarios, in standard
        deviations of that P&L; None where there is no P&L to compare.
    milliseconds : float
        Wall time, the device synchronised.
    inputs : Inputs
        Everything that the figures follow from: what `explain_change` and `worst_scenarios` need.
    delta_gamma_var, delta_gamma_es : mapping of level to float, or None
        The figures of a book with options where each option is its second-order expansion in the spot and first-order
        in volatility and time, on the same scenarios; None for a book without options.
    """

    book: Book
    value: float
    var: ByLevel
    es: ByLevel
    var_se: ByLevel
    es_se: ByLevel
    component_var: ByLevelAndPosition
    component_es: ByLevelAndPosition
    marginal_var: ByLevelAndPosition
    marginal_es: ByLevelAndPosition
    worst_loss: float
    worst_scenario: Array
    model: str
    sampler: str
    device: str
    precision: str
    model_details: Mapping[str, Any]
    seed: int
    scenarios: int
    horizon: int
    drift: float | None
    milliseconds: float
    inputs: Inputs = field(repr=False)
    _incremental: Callable[[], ByLevelAndPosition] = field(repr=False)
    delta_gamma_var: ByLevel | None = None
    delta_gamma_es: ByLevel | None = None

    @property
    def levels(self) -> tuple[float, ...]:
        """The confidence levels, in the order asked for."""
        return tuple(self.var)

    @cached_property
    def incremental_var(self) -> ByLevelAndPosition:
        """By level: VaR of the book less VaR without each position, shape (positions,), on the same scenarios.

        Computed on first use: it sorts the scenarios once for each position.
        """
        return self._incremental()
