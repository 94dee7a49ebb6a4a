"""Full revaluation of options under scenarios as one loop, for a compiler: `option_changes` summed over a book."""

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.kernels.fused_numbers import f32, lower_tail

Array = NDArray[np.float32]
Index = NDArray[np.int64]

TILE = 1024  # scenarios whose moves and profits stay in the first cache while all options pass over them


def option_profits(
    returns: Array, changes: Array, volatility: Array, terms: Array, rows: Index, notionals: Array, profits: Array
) -> None:
    """Add what the options of a book gain, less their forwards, to `profits`.

    Parameters
    ----------
    returns, changes : ndarray
        As in `option_scenarios.Moves`, shape (assets, scenarios).
    volatility : ndarray
        Factors on implied volatilities, shape (volatilities, scenarios); of no rows where they stay.
    terms : ndarray
        Moneyness, strike, total volatility (at least 1e-7), sign and base of `OptionTerms`, shape (5, options).
    rows : ndarray
        Rows of each option among `returns` and among `volatility`, shape (2, options).
    notionals : ndarray
        Shape (options,).
    profits : ndarray
        Shape (scenarios,).
    """
    sums = np.empty(TILE)  # float64: a book may hold any number of options
    for start in range(0, len(profits), TILE):
        gains = sums[: len(profits[start : start + TILE])]
        for t in range(len(gains)):
            gains[t] = profits[start + t]
        for i in range(len(notionals)):
            moneyness, strike, total = terms[0, i], terms[1, i], terms[2, i]
            sign, notional = terms[3, i], notionals[i]
            base, amount = notional * terms[4, i], notional * sign
            moves, moved = returns[rows[0, i], start : start + TILE], changes[rows[0, i], start : start + TILE]
            if len(volatility) == 0:
                over, half = f32(1.0) / total, f32(0.5) * total
                for t in range(len(gains)):
                    middle = (moves[t] + moneyness) * over
                    spot = lower_tail(sign * (middle + half))
                    value = spot + spot * moved[t] - strike * lower_tail(sign * (middle - half))
                    gains[t] += np.float64(amount * value - base)
            else:
                factors = volatility[rows[1, i], start : start + TILE]
                for t in range(len(gains)):
                    width = max(total * factors[t], f32(1e-7))
                    middle, half = (moves[t] + moneyness) / width, f32(0.5) * width
                    spot = lower_tail(sign * (middle + half))
                    value = spot + spot * moved[t] - strike * lower_tail(sign * (middle - half))
                    gains[t] += np.float64(amount * value - base)
        for t in range(len(gains)):
            profits[start + t] = gains[t]
