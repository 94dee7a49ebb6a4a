"""The Metal shaders, compiled by g++: bit for bit their arithmetic in numpy, and near the eager kernels.

Eager torch orders its sums differently (blocked products, vectorised functions), so that its bits are not theirs:
against it the tolerances are those of float32, stated with each test. On a Mac `engine.fused` makes that comparison.
"""

import re

import numpy as np
import pytest
import torch
from scipy.special import erfc

from nautilus_metal.kernels.macd import macd
from nautilus_metal.kernels.metal import SHADERS, calls, shader
from nautilus_metal.kernels.metal.calls import Holdings, Stream
from nautilus_metal.kernels.normals import standard_normals
from nautilus_metal.kernels.option_scenarios import BUFFERS, Moves, OptionTerms, option_changes
from nautilus_metal.kernels.rsi import rsi
from tests.metal_shim import oracle
from tests.metal_shim.library import compile_shader

CPU = torch.device("cpu")
STREAMS = [Stream(0, 0, 1, False), Stream(7, 5, 1003, False), Stream(2**63 - 1, 2**40 + 2, 64, True)]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("shaders")))
        yield


def library(name: str):
    return compile_shader(shader(name))


def words(stream: Stream, row: int) -> np.ndarray:
    skipped = stream.start % 4
    key = np.array([stream.seed, row], dtype=np.uint64)
    return np.random.Philox(key=key).advance(stream.start // 4).random_raw(skipped + stream.number)[skipped:]


def exact_normals(stream: Stream, rows: int) -> np.ndarray:
    made = np.stack([oracle.normals(words(stream, row)) for row in range(rows)])
    return np.concatenate([made, -made], -1) if stream.mirrored else made


@pytest.mark.parametrize("name", SHADERS)
def test_shaders_use_no_function_that_devices_round_differently(name):
    code = re.sub(r"//.*", "", shader(name))
    own = set(re.findall(r"^\w+ (?:void )?(\w+)\(", code, re.MULTILINE))
    called = set(re.findall(r"\b([a-z_]\w*)(?:<\w+>)?\(", code)) - own
    assert called <= {"if", "for", "float", "int", "uint", "long", "ulong", "sqrt", "floor", "as_type", "contract"}


@pytest.mark.parametrize("stream", STREAMS)
def test_normals_are_numpys_words_bit_for_bit(stream):
    found = calls.stream_normals(library("paths"), stream, 3, CPU).numpy()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, exact_normals(stream, 3))


def test_normals_are_the_portable_ones_to_float32():
    stream = Stream(11, 3, 200_001, False)
    found = calls.stream_normals(library("paths"), stream, 4, CPU).double()
    exact = standard_normals(4, stream.number, stream.seed, start=stream.start)
    assert float(exact.abs().max()) > 4.5
    torch.testing.assert_close(found, exact, rtol=5e-7, atol=1e-7)


def test_normals_of_the_farthest_cells():
    edges = np.array([0, 1, 2**51 - 1, 2**51, 2**52 - 2, 2**52 - 1], dtype=np.uint64)
    found = oracle.normals(edges << np.uint64(12))
    cells = torch.from_numpy((edges[:3].astype(np.float64) + 0.5) * 2.0**-52)
    exact = torch.special.ndtri(cells).numpy()
    np.testing.assert_allclose(found[:2], exact[:2], rtol=3e-7)
    assert abs(found[2]) < 1e-15
    np.testing.assert_array_equal(found[3:], -found[:3][::-1])


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("steps", [1, 12])
def test_paths_bit_for_bit(stream, steps):
    found = calls.stream_paths(library("paths"), stream, steps, 100.0, 1e-3, 0.05, CPU)
    for ours, exact in zip(found, oracle.paths(exact_normals(stream, steps), 100.0, 1e-3, 0.05), strict=True):
        np.testing.assert_array_equal(ours.numpy(), exact)


@pytest.mark.parametrize("mirrored", [False, True])
def test_paths_equal_float64_paths(mirrored):
    stream, steps = Stream(5, 2, 5_000, mirrored), 252
    spots, sums = calls.stream_paths(library("paths"), stream, steps, 100.0, 1e-4, 0.02, CPU)
    z = standard_normals(steps, stream.number, stream.seed, start=stream.start)
    z = torch.cat([z, -z], -1) if mirrored else z
    torch.testing.assert_close(spots[1:].double(), 100 * (1e-4 + 0.02 * z).cumsum(0).exp(), rtol=5e-6, atol=0)
    torch.testing.assert_close(sums.double(), z.cumsum(0), rtol=0, atol=5e-5)


def histories(series: int = 40, bars: int = 700) -> torch.Tensor:
    walks = torch.randn(series, bars, generator=torch.Generator().manual_seed(1)).cumsum(-1)
    walks[0] = 5.0  # no moves at all
    return walks


@pytest.mark.parametrize("bars", [1, 2, 14, 15, 700])
def test_rsi_bit_for_bit_and_near_the_eager_kernel(bars):
    x, periods = histories()[:, :bars], [1, 2, 14, 100]
    found = calls.rsi_scan(library("indicators"), x, periods)
    for row, period in zip(found, periods, strict=True):
        np.testing.assert_array_equal(row.numpy(), oracle.rsi(x.numpy(), period))
    torch.testing.assert_close(found, rsi(x, periods), rtol=0, atol=2e-3, equal_nan=True)
    torch.testing.assert_close(found.double(), rsi(x.double(), periods), rtol=0, atol=2e-3, equal_nan=True)


@pytest.mark.parametrize("bars", [1, 3, 34, 35, 700])
def test_macd_bit_for_bit_and_near_the_eager_kernel(bars):
    x, settings = histories()[:, :bars], [(12, 26, 9), (1, 2, 1), (3, 40, 5)]
    found = calls.macd_scan(library("indicators"), x, settings)
    for k, setting in enumerate(settings):
        np.testing.assert_array_equal(found[:, k].numpy(), oracle.macd(x.numpy(), *setting))
    torch.testing.assert_close(found, torch.stack(tuple(macd(x, settings))), rtol=0, atol=2e-5, equal_nan=True)


def book(options: int, count: int, moving: bool) -> tuple[OptionTerms, Holdings, Moves]:
    draw = np.random.default_rng(options)
    row = torch.from_numpy(draw.integers(0, 3, options))
    x = torch.from_numpy(draw.normal(0, 0.1, options)).float()
    terms = OptionTerms(
        x, (-x).exp(), torch.from_numpy(draw.uniform(0.02, 0.5, options)).float(), -torch.where(x > 0, 1.0, -1.0),
        torch.from_numpy(draw.uniform(0, 0.1, options)).float(), row, row,
    )  # fmt: skip
    amounts = [torch.from_numpy(draw.normal(size=size)).float() for size in (options, 3, 3, 3, 3)]
    returns = torch.from_numpy(draw.standard_t(3, (3, count)) * 0.02).float()
    volatility = torch.from_numpy(np.exp(draw.normal(0, 0.2, (3, count)))).float() if moving else None
    return terms, Holdings(*amounts, decay=-0.01), Moves(returns, returns.expm1(), volatility)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize(("options", "count"), [(1, 1), (7, 1000), (60, 5000)])
def test_losses_bit_for_bit_and_near_the_eager_kernel(options, count, moving):
    terms, held, market = book(options, count, moving)
    found = calls.book_losses(library("options"), terms, held, market)
    for ours, exact in zip(found, oracle.book_losses(market, terms, held), strict=True):
        np.testing.assert_array_equal(ours.numpy(), exact)
    eager = option_changes(terms, market, torch.empty(BUFFERS * options * count))
    losses = -(held.exposures @ market.changes + held.notionals @ eager)
    torch.testing.assert_close(found[0], losses, rtol=1e-5, atol=2e-6 * options**0.5)


def test_a_number_that_is_missing_stays_missing():
    terms, held, market = book(3, 4, True)
    market.returns[1, 2] = torch.nan
    terms = terms._replace(total_volatility=torch.full((3,), torch.nan), row=torch.zeros(3, dtype=torch.int64))
    assert calls.book_losses(library("options"), terms, held, market)[0].isnan().all()


def test_functions_are_within_their_tolerance():
    x = np.linspace(-80, 80, 40_001, dtype=np.float32)
    np.testing.assert_allclose(oracle.exponential(x), np.exp(x.astype(np.float64)), rtol=3e-7)
    positive = np.exp(np.linspace(-85, 85, 40_001)).astype(np.float32)
    np.testing.assert_allclose(oracle.logarithm(positive), np.log(positive.astype(np.float64)), rtol=3e-7, atol=1e-7)
    z = np.linspace(-6, 6, 40_001, dtype=np.float32)
    np.testing.assert_allclose(oracle.complementary_error(z), erfc(z.astype(np.float64)), rtol=1e-5, atol=3e-7)
