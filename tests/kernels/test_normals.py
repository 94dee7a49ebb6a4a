"""Portable normals: the same numbers for any range, independent rows, the right law; and the chi-square quantile."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import qmc

from nautilus_metal.errors import InputError
from nautilus_metal.kernels import normals
from nautilus_metal.kernels.normals import (
    SAMPLERS,
    chi_square_quantile,
    sobol_normals_into,
    standard_normals,
    uniforms,
)

GOLDEN = {
    ("pseudo", 0, 0, 0): [
        [-2.2718841483245957, -0.7013279206286979, -1.2189801910797584, 0.1621715579164505],
        [0.8903241113278909, 0.6786855090559125, 0.4444712468735613, -0.04231453306235729],
    ],
    ("pseudo", 2**63 - 1, 10**9, 7): [
        [-0.24519642709217432, 0.10043375121534819, -0.45779729744714753],
        [2.006678753574266, 0.899880883106287, -0.6923691164473901],
    ],
    ("sobol", 5, 0, 0): [
        [0.2725847602732939, -0.8594073177604258, -0.41815292646713254, 2.1609030125499893],
        [1.193036204571749, -1.0890504087616533, 0.11730911791517656, -0.5491055793216263],
        [1.2262311787232631, -1.6754709572607664, 0.11854886193146988, -0.28006229915774855],
    ],
}


@pytest.mark.parametrize("key", GOLDEN)
def test_numbers_are_those_of_every_machine_and_version(key: tuple[str, int, int, int]) -> None:
    sampler, seed, start, first_row = key
    expected = np.array(GOLDEN[key])
    numbers = standard_normals(*expected.shape, seed, sampler, start, first_row)
    np.testing.assert_allclose(numbers.numpy(), expected, rtol=1e-13)


def test_pseudo_numbers_come_from_numpys_philox() -> None:
    words = np.random.Philox(key=np.array([11, 3], dtype=np.uint64)).random_raw(9)
    expected = ((words >> np.uint64(12)).astype(np.float64) + 0.5) / 2**52
    assert uniforms(4, 9, seed=11)[3].tolist() == expected.tolist()


def test_sobol_without_its_scramble_is_the_textbook_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_metal.kernels import normals

    monkeypatch.setattr(normals, "_scrambled", lambda seed, row: (normals._directions(row), 0))
    expected = qmc.Sobol(20, scramble=False).random(1024).T
    np.testing.assert_array_equal(uniforms(20, 1024, sampler="sobol").numpy() - 2.0**-31, expected)


@settings(max_examples=60, deadline=None)
@given(
    sampler=st.sampled_from(SAMPLERS),
    seed=st.integers(0, 2**63 - 1),
    rows=st.integers(1, 5),
    count=st.integers(1, 70),
    row=st.integers(0, 4),
    start=st.integers(0, 69),
)
def test_any_part_is_a_slice_of_the_endless_matrix(
    sampler: str, seed: int, rows: int, count: int, row: int, start: int
) -> None:
    whole = standard_normals(9, 140, seed, sampler)
    part = standard_normals(rows, count, seed, sampler, start, row)
    assert torch.equal(part, whole[row : row + rows, start : start + count])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seeds_and_rows_differ(sampler: str) -> None:
    rows = torch.cat([standard_normals(40, 64, seed, sampler) for seed in (0, 1, 2, 2**63 - 1)])
    assert len({tuple(row) for row in rows.tolist()}) == 160


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_uniforms_stay_inside_the_unit_interval(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nautilus_metal.kernels import normals

    class Extreme:
        def advance(self, blocks: int) -> "Extreme":
            return self

        def random_raw(self, count: int) -> np.ndarray:
            return np.resize(np.array([0, 2**64 - 1], dtype=np.uint64), count)

    monkeypatch.setattr(normals, "_philox", lambda seed, row: Extreme())
    made = uniforms(1, 64, sampler=sampler)
    assert 0 < float(made.min()) < float(made.max()) < 1
    assert bool(torch.isfinite(torch.special.ndtri(made)).all())
    if sampler == "pseudo":
        assert float(made.min()) == 1 - float(made.max()) == 2.0**-53


def test_pseudo_numbers_are_normal() -> None:
    numbers = standard_normals(8, 50_000, seed=20).numpy().ravel()
    size = len(numbers)
    assert stats.kstest(numbers, "norm").pvalue > 0.001
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((numbers**power).mean() - mean) < 4 * np.sqrt(variance / size)
    beyond = (np.abs(numbers) > 3).sum()
    assert stats.binomtest(int(beyond), size, 2 * stats.norm.sf(3)).pvalue > 0.001


def test_rows_and_neighbours_are_uncorrelated() -> None:
    numbers = standard_normals(40, 20_000, seed=3).numpy()
    between = np.corrcoef(numbers)[np.triu_indices(40, 1)] * np.sqrt(20_000)
    assert np.abs(between).max() < 4.5
    assert abs(between.std() - 1) < 0.15
    lagged = (numbers[:, 1:] * numbers[:, :-1]).mean(axis=1) * np.sqrt(20_000)
    assert np.abs(lagged).max() < 4.5
    seeds = np.corrcoef([standard_normals(1, 20_000, seed).numpy()[0] for seed in range(20)])[np.triu_indices(20, 1)]
    assert np.abs(seeds).max() * np.sqrt(20_000) < 4.5


@pytest.mark.parametrize("power", [4, 10])
def test_sobol_puts_one_number_in_each_cell(power: int) -> None:
    count = 2**power
    cells = (uniforms(64, count, seed=9, sampler="sobol").numpy() * count).astype(int)
    assert (np.sort(cells, axis=1) == np.arange(count)).all()


def test_sobol_has_the_discrepancy_of_scipys() -> None:
    for dimensions in (2, 6):
        ours = [qmc.discrepancy(uniforms(dimensions, 512, seed, "sobol").T.numpy()) for seed in range(5)]
        theirs = [qmc.discrepancy(qmc.Sobol(dimensions, seed=seed).random(512)) for seed in range(5)]
        assert 0.6 < np.mean(ours) / np.mean(theirs) < 1.6


def test_sobol_scrambles_are_unbiased_and_beat_pseudo_random_numbers() -> None:
    def error(sampler: str) -> np.ndarray:
        sums = [standard_normals(10, 4096, seed, sampler).sum(dim=0) / 10**0.5 for seed in range(40)]
        return np.array([one.clamp(min=1).mean() for one in sums]) - (stats.norm.cdf(1) + stats.norm.pdf(1))

    sobol, pseudo = error("sobol"), error("pseudo")
    assert sobol.std() < pseudo.std() / 2
    assert abs(sobol.mean()) < 4 * sobol.std() / np.sqrt(40)
    assert abs(pseudo.mean()) < 4 * pseudo.std() / np.sqrt(40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0, "count": 1}, "`rows` must be at least 1, was 0"),
        ({"rows": 1, "count": 0}, "`count` must be at least 1, was 0"),
        ({"rows": 1, "count": 1, "start": -1}, "`start` must be at least 0"),
        ({"rows": 1, "count": 1, "first_row": -1}, "`first_row` must be at least 0"),
        ({"rows": 1, "count": 1, "seed": -1}, "`seed` must lie between 0 and"),
        ({"rows": 1, "count": 1, "seed": 2**63}, "`seed` must lie between 0 and"),
        ({"rows": 1, "count": 1, "sampler": "halton"}, "`sampler` must be one of pseudo, sobol, was 'halton'"),
        ({"rows": 1, "count": 1, "sampler": "sobol", "first_row": 21_201}, "`rows` must be at most 21201"),
        ({"rows": 1, "count": 2, "sampler": "sobol", "start": 2**30 - 1}, "`count` must end within"),
    ],
)
def test_bad_input_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        standard_normals(**arguments)


PROBABILITIES = np.concatenate(
    [10.0 ** -np.arange(1, 17), np.linspace(0.01, 0.99, 99), 1 - 10.0 ** -np.arange(1, 14), [2.0**-53, 1 - 2.0**-53]]
)


@pytest.mark.parametrize("degrees", [2.1, 2.5, 3, 3.7, 5, 8, 10, 15, 30])
def test_chi_square_quantile_equals_scipy(degrees: float) -> None:
    ours = chi_square_quantile(torch.from_numpy(PROBABILITIES), degrees).numpy()
    np.testing.assert_allclose(ours, stats.chi2.ppf(PROBABILITIES, degrees), rtol=1e-12)


@pytest.mark.parametrize("degrees", [0.5, 60, 100, 200, 1e4, 1e6])
def test_chi_square_quantile_far_from_the_usual_degrees(degrees: float) -> None:
    ours = chi_square_quantile(torch.from_numpy(PROBABILITIES), degrees).numpy()
    np.testing.assert_allclose(ours, stats.chi2.ppf(PROBABILITIES, degrees), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(degrees=st.floats(2.01, 200), exponent=st.floats(-53, -0.1), upper=st.booleans())
def test_chi_square_quantile_inverts_the_distribution(degrees: float, exponent: float, upper: bool) -> None:
    chance = 2.0**exponent
    probability = 1 - chance if upper else chance
    quantile = float(chi_square_quantile(torch.tensor([probability], dtype=torch.float64), degrees))
    tail = stats.chi2.sf(quantile, degrees) if upper else stats.chi2.cdf(quantile, degrees)
    assert tail == pytest.approx(1 - probability if upper else probability, rel=1e-8)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize(("start", "count"), [(0, 1), (0, 1000), (37, 4096), (2**29 - 100, 5000)])
def test_sobol_normals_made_in_place_are_those_of_the_host(monkeypatch, rows, start, count):
    monkeypatch.setattr(normals, "_SOBOL_PIECE", 4096)
    block = torch.full((rows, count), torch.nan, dtype=torch.float64)
    sobol_normals_into(block, seed=11, start=start, first_row=3)
    assert torch.equal(block, standard_normals(rows, count, 11, "sobol", start, 3))


def test_sobol_normals_of_a_device(engine):
    if engine.exact_dtype is not torch.float64:
        pytest.skip("no float64: the host makes its normals")
    block = torch.full((40, 100_000), torch.nan, dtype=torch.float64, device=engine.device)
    sobol_normals_into(block, seed=5, start=123)
    expected = standard_normals(40, 100_000, 5, "sobol", 123)
    torch.testing.assert_close(block.cpu(), expected, rtol=1e-13, atol=1e-13)


def test_a_sobol_sequence_ends():
    with pytest.raises(InputError, match="must end within"):
        sobol_normals_into(torch.empty(1, 2, dtype=torch.float64), start=2**30 - 1)
