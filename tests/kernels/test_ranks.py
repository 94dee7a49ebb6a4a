"""Ranks and Kendall's tau against scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from nautilus_metal.kernels.ranks import kendall, ranks


@pytest.mark.parametrize("periods", [2, 31, 32, 33, 400])
def test_ranks_and_taus_are_scipys(periods: int) -> None:
    rng = np.random.default_rng(periods)
    values = rng.normal(size=(4, periods))
    values[1] += values[0]
    values[2] = values[2].round()  # ties
    values[3] = 7.0
    found = kendall(torch.from_numpy(values)).numpy()
    assert np.array_equal(ranks(torch.from_numpy(values)).numpy(), stats.rankdata(values, axis=1))
    for i in range(4):
        for j in range(4):
            expected = stats.kendalltau(values[i], values[j]).statistic
            if np.isnan(expected):  # a row that never moves
                expected = float(i == j)
            assert found[i, j] == pytest.approx(1.0 if i == j else expected, abs=1e-12)
