"""Compares the simulator with PyTorch's own list of operators that fail on MPS, and its results with the CPU's.

    pip install expecttest        # torch's test utilities import it
    python calibrate.py [--dtype float32]

Runs the first samples of every entry of PyTorch's operator database on the simulated device. An entry that the
simulator refuses should stand in the list that PyTorch's tests for macOS expect to fail, and the other way round.
Where an entry runs, its result and its gradients should equal those of the same call on the CPU bit by bit; where
PyTorch has a kernel for the CPU and a formula for all other devices, they can be "close" only.
"""

import argparse
import ast
import collections
import itertools
import signal
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import mps_sim

SAMPLES = 4
SECONDS = 40  # per entry
# Results that are random, uninitialised, not unique, or not tensors.
INCOMPARABLE = (
    "empty",
    "rand",
    "normal",
    "uniform",
    "dropout",
    "bernoulli",
    "multinomial",
    "exponential",
    "geometric",
    "cauchy",
    "poisson",
    "rrelu",
    "lowrank",
    "fractional_max_pool",
    "item",
    "svd",
    "resize_",
    "as_strided",
    "multi_head",
)


def expected_failures(dtype):
    """Entries that PyTorch's tests for macOS list as not implemented for the dtype."""
    source = Path(torch.__file__).parent / "testing" / "_internal" / "common_mps.py"
    found = {}
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "UNIMPLEMENTED_XFAILLIST":
            for key, value in zip(node.value.keys, node.value.values, strict=False):
                whole = isinstance(value, ast.Constant)  # None: for every dtype
                found[key.value] = None if whole else [ast.unparse(element) for element in value.elts]
    return {name for name, dtypes in found.items() if dtypes is None or str(dtype) in dtypes}


def tensors(value):
    from torch.utils._pytree import tree_leaves

    return [t for t in tree_leaves(value) if isinstance(t, torch.Tensor)]


def agreement(mps, cpu):
    """2: same bits, 1: equal up to rounding, 0: different"""
    if (mps.shape, mps.dtype) != (cpu.shape, cpu.dtype):
        return 0
    a, b = (torch.empty(t.numel(), dtype=t.dtype).copy_(t.detach().cpu().flatten()) for t in (mps, cpu))
    if torch.equal(a.view(torch.uint8), b.view(torch.uint8)):
        return 2
    tolerance = 1e-4 if a.dtype.itemsize > 2 else 2e-2
    return int(torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))


def run(op, sample, differentiate):
    result = op(sample.input, *sample.args, **sample.kwargs)
    gradients = []
    if differentiate:
        inputs = [t for t in tensors((sample.input, sample.args, sample.kwargs)) if t.requires_grad]
        outputs = [t for t in tensors(result) if t.requires_grad]
        if inputs and outputs:
            total = sum((t.abs() if t.is_complex() else t).sum() for t in outputs)
            gradients = [g for g in torch.autograd.grad(total, inputs, allow_unused=True) if g is not None]
    return tensors(result) + gradients


def to_cpu(value):
    return value.detach().cpu().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value


def check(op, dtype):
    """(verdict, detail): same, close, differs, ran (not compared), missing, float64, error or timeout."""
    worst = 2
    comparable = not any(part in op.name for part in INCOMPARABLE)
    differentiable = dtype.is_floating_point or dtype.is_complex
    differentiate = differentiable and op.supports_autograd and dtype in op.backward_dtypes
    try:
        for sample in itertools.islice(op.sample_inputs("mps", dtype, requires_grad=differentiate), SAMPLES):
            on_cpu = sample.transform(to_cpu) if comparable else None
            if comparable and "device" in on_cpu.kwargs:
                on_cpu.kwargs["device"] = "cpu"
            ours = run(op, sample, differentiate)
            if comparable and not sample.kwargs.get("dropout_p"):
                theirs = run(op, on_cpu, differentiate)
                worst = min([worst, 2 * (len(ours) == len(theirs)), *map(agreement, ours, theirs)])
    except NotImplementedError as error:
        return "missing", str(error).splitlines()[0][:90]
    except TimeoutError:
        return "timeout", ""
    except TypeError as error:
        refused = "float64" in str(error) or "does not have support for that dtype" in str(error)
        return "float64" if refused else "error", str(error).splitlines()[0][:90]
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}".splitlines()[0][:120]
    return ("differs", "close", "same")[worst] if comparable else "ran", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="float32")
    dtype = getattr(torch, parser.parse_args().dtype)
    warnings.simplefilter("ignore")
    mps_sim.install()
    from torch.testing._internal.common_methods_invocations import op_db

    def stop(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    listed, counts = expected_failures(dtype), collections.Counter()
    for op in op_db:
        if dtype not in op.dtypes:
            continue
        signal.alarm(SECONDS)
        verdict, detail = check(op, dtype)
        signal.alarm(0)
        name = op.name + op.variant_test_name
        refused = verdict in ("missing", "float64")
        counts[verdict, name in listed] += 1
        if verdict in ("close", "differs", "error", "timeout") or refused != (name in listed):
            print(f"{name:50s} {verdict:8s} {'listed' if name in listed else '':7s} {detail}", flush=True)
    print(f"{sum(counts.values())} entries of torch {torch.__version__}, {dtype}")
    print("  verdict, whether PyTorch lists it as failing, number of entries")
    for (verdict, is_listed), number in sorted(counts.items()):
        print(f"  {verdict:8s} {'listed' if is_listed else 'not listed':10s} {number}")


if __name__ == "__main__":
    main()
