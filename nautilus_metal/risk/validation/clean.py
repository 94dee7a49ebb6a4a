"""Clean P&L: what the positions of a report made, had nobody traded since."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def clean_contributions(
    quantity: ArrayLike, price: ArrayLike, value: ArrayLike, new_price: ArrayLike
) -> NDArray[np.float64]:
    r"""Change in value of each position between two prices: Basel's hypothetical P&L, of a static book.

    .. math:: q\, u\, (p' - p), \quad u = \frac{V}{q\, p}

    The value of one unit u holds the contract's multiplier and the exchange rate, both as they were at the first
    price, so that neither currency moves nor later trades are in it: just what the risk figure was made for.

    Parameters
    ----------
    quantity, price, value : array_like
        Signed quantity, price and value in the base currency, as the report has them, of one shape.
    new_price : array_like
        The later price, in the same unit as `price`; NaN where it is not known.

    Returns
    -------
    ndarray
        In the base currency; a gain is positive, 0 where nothing was held, NaN where the new price is not known. A
        price of zero says nothing of the multiplier: one is taken there.

    References
    ----------
    Basel Committee on Banking Supervision (2019), "Minimum capital requirements for market risk", MAR32.

    Examples
    --------
    Ten contracts with a multiplier of 100, worth 5.00, fall to 4.50:

    >>> clean_contributions([10.0], [5.0], [5_000.0], [4.5]).tolist()
    [-500.0]
    """
    size, old, worth, new = (np.asarray(one, dtype=np.float64) for one in (quantity, price, value, new_price))
    held = size != 0
    notional = np.where(held, size * old, 1.0)
    unit = np.where(held & (notional != 0), worth / np.where(notional != 0, notional, 1.0), 1.0)
    return np.where(held, size * unit * (new - np.where(held, old, 0.0)), 0.0)
