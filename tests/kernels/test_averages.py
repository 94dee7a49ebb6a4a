"""Moving averages over histories equal the host's own, bar by bar."""

import numpy as np
import pytest
import torch
from nautilus_trader.indicators import MovingAverageFactory, MovingAverageType

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import averages
from nautilus_metal.kernels.averages import MOVING_AVERAGES, named_average


@pytest.mark.parametrize("period", [2, 3, 5, 14, 100])
@pytest.mark.parametrize("name", MOVING_AVERAGES)
def test_equals_the_host(name, period):
    x = 100.0 + np.random.default_rng(period).normal(size=(2, 300)).cumsum(axis=1)
    expected = np.empty_like(x)
    for row in range(2):
        host = MovingAverageFactory.create(period, MovingAverageType[name])
        for bar in range(300):
            host.update_raw(x[row, bar])
            expected[row, bar] = host.value
    got = named_average(name)(torch.from_numpy(x), period).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-11)


@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize("name", MOVING_AVERAGES)
def test_short_histories(name, length):
    x = torch.arange(1.0, length + 1.0, dtype=torch.float64).expand(2, length)
    got = named_average(name)(x, 5)
    assert got.shape == (2, length)
    assert torch.isfinite(got).all()


def test_long_windows_are_unfolded_piece_by_piece(monkeypatch):
    x = torch.randn(3, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = named_average("HULL")(x, 50)
    monkeypatch.setattr(averages, "WORKING_ELEMENTS", 1000)
    torch.testing.assert_close(named_average("HULL")(x, 50), whole, rtol=1e-12, atol=1e-12)


def test_an_unknown_average_is_named():
    with pytest.raises(InputError, match=r"`average` must be one of .*, was 'ADAPTIVE'"):
        named_average("ADAPTIVE")
