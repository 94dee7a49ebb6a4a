"""Triton kernels against eager ones in float64: on an NVIDIA GPU, and interpreted in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.kernels import triton_cases


@pytest.mark.gpu
@pytest.mark.parametrize("case", triton_cases.CASES, ids=lambda case: case.__name__)
def test_on_the_device(case):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    pytest.importorskip("triton")
    case(torch.device("cuda"))


@pytest.mark.slow
def test_interpreted_on_the_cpu():
    """Triton decides when it is imported whether it interprets, so this takes a process."""
    pytest.importorskip("triton")
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "tests.kernels.triton_cases"]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [case.__name__ for case in triton_cases.CASES]


def test_the_files_can_be_imported_without_triton():
    """As on a Mac."""
    blocked = "import sys; sys.modules['triton'] = None\n"
    names = ("normals", "paths", "scans", "lstm", "book", "book_products")
    imports = "".join(f"import nautilus_metal.kernels.triton.{name}\n" for name in names)
    subprocess.run([sys.executable, "-c", blocked + imports], check=True, timeout=120, cwd=Path(__file__).parents[2])
