"""What the suite makes of the simulated device: two tables of operators, and no gap that goes unseen."""

import subprocess
import sys
from pathlib import Path

import mps_sim
import torch

from tests.simulated_mps import oldest_torch

ROOT = Path(__file__).parents[2]

GAPS = """
import pytest, torch

def test_caught():
    try:
        torch.special.ndtri(torch.full((2,), 0.5, device="mps"))
    except NotImplementedError:
        pass

def test_double_scalar():
    torch.ones(2, device="mps") * torch.tensor(2.0, dtype=torch.float64)

def test_clean(device):
    assert torch.ones(2, device=device).sum().item() == 2

@pytest.mark.not_simulated(reason="wants a chip")
def test_hardware():
    raise AssertionError

def test_newer():
    a = torch.eye(3, device="mps")
    assert torch.linalg.eigh(a).eigenvalues.shape == (3,)
"""


def suite(folder: Path, *options: str) -> str:
    (folder / "test_gaps.py").write_text(GAPS)
    command = [sys.executable, "-m", "pytest", "-rsEf", "-p", "tests.conftest", "-p", "no:cacheprovider", "--device"]
    done = subprocess.run(
        [*command, "mps", *options, "-c", ROOT / "pyproject.toml", folder], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def test_a_gap_fails_the_test_even_where_the_code_goes_on(tmp_path):
    told = suite(tmp_path)
    assert "AssertionError: operators that MPS does not have" in told
    assert "AssertionError: fall-backs that nobody chose" in told
    assert [line.rpartition("::")[2].split()[0] for line in told.splitlines() if line.startswith("ERROR")] == [
        "test_caught",
        "test_double_scalar",
    ]
    assert "not on the simulated device: wants a chip" in told
    assert "4 passed, 1 skipped" in told
    assert "2 errors" in told


def test_the_oldest_table_lacks_what_came_later(tmp_path):
    told = suite(tmp_path, "--mps-torch", "oldest", "-k", "newer")
    assert "_linalg_eigh" in told
    assert "1 failed" in told


def test_systems_count_as_gpu_tests(tmp_path):
    assert "1 passed, 4 deselected" in suite(tmp_path, "-m", "gpu")


def test_there_are_tables_for_the_oldest_and_the_installed_torch():
    known = mps_sim.table_versions()
    assert oldest_torch() in known
    assert torch.__version__.partition("+")[0] in known
    assert known.index(oldest_torch()) < known.index(torch.__version__.partition("+")[0])
