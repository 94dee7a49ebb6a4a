"""How implied volatilities move with their underlyings in the scenarios: set by hand, or estimated from a history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from nautilus_metal.errors import InputError
from nautilus_metal.risk.book import Array
from nautilus_metal.risk.checks import finite

ByUnderlying = float | Mapping[str, float] | None
_LEAST_HISTORY = 3  # changes that a correlation can be told from


@dataclass(frozen=True)
class VolatilityLaw:
    r"""The log change of an underlying's implied volatility over a horizon of h periods,

    .. math:: \nu \sqrt h \left(\rho z + \sqrt{1 - \rho^2}\,\epsilon\right),

    with z the standardised return of the underlying in the scenario and an independent standard normal epsilon.

    Parameters
    ----------
    vol_of_vol : float or mapping of str to float, optional
        nu, per period of the return history, for all or by underlying, not negative. Where not given it is the
        standard deviation of the underlying's `volatility_returns`, and 0 (constant volatility) where it has none.
    spot_vol_correlation : float or mapping of str to float, optional
        rho, from -1 to 1. Where not given it is the correlation of `volatility_returns` with the returns of the same
        periods, and 0 where there are none.
    volatility_returns : mapping of str to array_like, optional
        By underlying: log changes of its implied volatility, oldest first, the last one of the same period as the
        last return.

    Raises
    ------
    InputError
        If a number is outside its range, or a series is too short or holds a NaN.
    """

    vol_of_vol: ByUnderlying = None
    spot_vol_correlation: ByUnderlying = None
    volatility_returns: Mapping[str, ArrayLike] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            given = getattr(self, name)
            for key, number in (given if isinstance(given, Mapping) else {"": given}).items():
                what = f"`{name}` of {key}" if key else f"`{name}`"
                if number is not None and not least <= finite(number, what) <= most:
                    raise InputError(f"{what} must lie between {least:g} and {most:g}, was {number}")
        series = {str(name): _series(name, changes) for name, changes in (self.volatility_returns or {}).items()}
        object.__setattr__(self, "volatility_returns", MappingProxyType(series))

    def fit(self, underlyings: Sequence[str], returns: Array) -> tuple[Array, Array]:
        """Choose nu and rho of each underlying.

        Parameters
        ----------
        underlyings : sequence of str
            Names.
        returns : ndarray
            Their log returns, shape (underlyings, periods).

        Returns
        -------
        tuple of ndarray
            nu and rho, each of shape (underlyings,).
        """
        fitted = [self._fit(name, row) for name, row in zip(underlyings, returns, strict=True)]
        columns = np.array(fitted, dtype=np.float64).reshape(-1, 2)
        return columns[:, 0], columns[:, 1]

    def _fit(self, name: str, returns: Array) -> tuple[float, float]:
        deviation, correlation = _chosen(self.vol_of_vol, name), _chosen(self.spot_vol_correlation, name)
        changes = (self.volatility_returns or {}).get(name)
        if changes is not None:
            moves = np.asarray(changes)
            deviation = float(moves.std(ddof=1)) if deviation is None else deviation
            if correlation is None:
                shared = min(len(moves), len(returns))
                correlation = _correlation(moves[len(moves) - shared :], returns[len(returns) - shared :])
        return deviation or 0.0, correlation or 0.0


_RANGES = {"vol_of_vol": (0.0, float("inf")), "spot_vol_correlation": (-1.0, 1.0)}


def _chosen(given: ByUnderlying, name: str) -> float | None:
    number = given.get(name) if isinstance(given, Mapping) else given
    return None if number is None else float(number)


def _series(name: str, changes: ArrayLike) -> Array:
    try:
        series = np.asarray(changes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`volatility_returns` of {name} must be a row of numbers: {error}") from None
    if series.ndim != 1 or len(series) < _LEAST_HISTORY or not np.isfinite(series).all():
        raise InputError(
            f"`volatility_returns` of {name} must be a row of at least {_LEAST_HISTORY} finite log changes, was of "
            f"shape {series.shape} with {int((~np.isfinite(series)).sum())} not finite"
        )
    return series


def _correlation(left: Array, right: Array) -> float:
    """Zero where one of them never moves."""
    if len(left) < _LEAST_HISTORY or left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.clip(np.corrcoef(left, right)[0, 1], -1.0, 1.0))
