"""The likelihood ratios under the coverage tests, for one count or many series at a time."""

import math

import numpy as np
from numpy.typing import NDArray

Numbers = float | NDArray[np.float64]


def coverage_ratio(count: Numbers, days: int, level: float) -> NDArray[np.float64]:
    """Kupiec's likelihood ratio of so many exceptions; any shape."""
    q, rate = 1 - level, count / days
    promised = count * math.log(q) + (days - count) * math.log1p(-q)
    return -2 * (promised - _times_log(count, rate) - _times_log(days - count, 1 - rate))


def independence_ratio(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Christoffersen's likelihood ratio of independence, for series of shape (series, days)."""
    before, after = hits[:, :-1], hits[:, 1:]
    hit_hit = (before & after).sum(axis=1).astype(np.float64)
    calm_hit, hit_calm = after.sum(axis=1) - hit_hit, before.sum(axis=1) - hit_hit
    calm_calm = before.shape[1] - hit_hit - calm_hit - hit_calm

    def likelihood(stays: NDArray[np.float64], exceeds: NDArray[np.float64]) -> NDArray[np.float64]:
        rate = exceeds / np.maximum(stays + exceeds, 1)
        return _times_log(exceeds, rate) + _times_log(stays, 1 - rate)

    pooled = likelihood(calm_calm + hit_calm, calm_hit + hit_hit)
    return -2 * (pooled - likelihood(calm_calm, calm_hit) - likelihood(hit_calm, hit_hit))


def waiting_ratio(waited: Numbers, level: float) -> NDArray[np.float64]:
    """Likelihood ratio of waiting so many days for an exception, at least one; any shape."""
    q = 1 - level
    promised = math.log(q) + (waited - 1) * math.log1p(-q)
    return -2 * (promised - _times_log(waited - 1, 1 - 1 / waited) + np.log(waited))


def waits_ratio(hits: NDArray[np.bool_], level: float) -> NDArray[np.float64]:
    """Sum of `waiting_ratio` over the waits for each exception, for series of shape (series, days)."""
    row, day = np.nonzero(hits)
    first = np.diff(row, prepend=-1) > 0
    waited = np.where(first, day + 1, np.diff(day, prepend=0))
    ratios = waiting_ratio(waited.astype(np.float64), level)
    return np.bincount(row, weights=ratios, minlength=len(hits)).astype(np.float64)


def _times_log(count: Numbers, rate: Numbers) -> NDArray[np.float64]:
    """``count * log(rate)`` with 0 log 0 = 0."""
    number = np.asarray(count, dtype=np.float64)
    return number * np.log(np.where(number > 0, rate, 1.0))
