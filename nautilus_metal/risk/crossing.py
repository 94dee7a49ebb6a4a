"""Where a function crosses zero, from the side on which it is still at or under it."""

from collections.abc import Callable

_CLOSE = 1e-6  # in the argument, or in the function
_STEPS = 60


def crossing(excess: Callable[[float], float], low: tuple[float, float], high: tuple[float, float]) -> float:
    """Find a point just under the crossing between one at or under zero and one above.

    Parameters
    ----------
    excess : callable
        The function; what it is at the point returned is not above zero.
    low, high : tuple of float
        Each a point and the function there: at or under zero, and above.

    References
    ----------
    Anderson and Bjorck (1973), "A new high order method of regula falsi type for computing a root of an equation",
    BIT 13.

    Examples
    --------
    >>> found = crossing(lambda x: x * x - 2.0, (0.0, -2.0), (2.0, 2.0))
    >>> found * found <= 2.0, round(found, 5)
    (True, 1.41421)
    """
    (a, at_a), (b, at_b) = low, high
    weight_a, weight_b = at_a, at_b
    for _ in range(_STEPS):
        if b - a <= _CLOSE or at_a >= -_CLOSE:
            break
        middle = (a * weight_b - b * weight_a) / (weight_b - weight_a)
        if not a < middle < b:
            middle = 0.5 * (a + b)
        value = excess(middle)
        if value <= 0:
            weight_b *= _softened(value, at_a)
            a = middle
            at_a = weight_a = value
        else:
            weight_a *= _softened(value, at_b)
            b = middle
            at_b = weight_b = value
    return a


def _softened(value: float, before: float) -> float:
    """Factor on the value at the end that stays, so that it does not stay for long."""
    rest = 1.0 - value / before
    return rest if rest > 0 else 0.5
