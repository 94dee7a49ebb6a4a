"""The self-check passes where kernels are right, with the errors of Apple's operators too, and says what is wrong."""

import json
import math
import pkgutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import nautilus_metal.kernels
from nautilus_metal.cli import main
from nautilus_metal.cli.verify import CHECKS, Check, verify
from nautilus_metal.cli.verify.check import difference, figures, largest_difference
from nautilus_metal.engine import ComputeEngine
from tests.mps_grade import NOISES, RELATIVE, MpsGrade

BY_NAME = {check.name: check for check in CHECKS}
# Modules that no row is named after: what they are for, or the rows that run them on the device.
ELSEWHERE = {
    "brownian": "draws on the host; every simulated contract",
    "closed_forms": "float64 on the host",
    "contracts": "checks of arguments; black_scholes",
    "counter_normals": "draws on the host",
    "fused_bands": "float64 on the host; against the eager kernel on first use",
    "fused_loops": "float64 on the host; against the eager kernel on first use",
    "fused_numbers": "against the eager kernel on first use, within fused_paths",
    "fused_options": "against the eager kernel on first use",
    "fused_paths": "against the eager kernel on first use",
    "fused_payoffs": "within fused_paths",
    "fused_policy": "against the eager kernel on first use",
    "fused_products": "within fused_paths",
    "fused_quick": "within fused_paths",
    "garch": "fits in float64 on the host",
    "garch_fit": "fits in float64 on the host",
    "degrees_loop": "float64 on the host; against the eager formula on first use",
    "garch_loop": "float64 on the host; against the eager kernel on first use",
    "jump_fit": "fits in float64 on the host",
    "lanes": "within fused_loops and fused_bands",
    "lattice": "float64 on the host",
    "metal": "against the eager kernel on first use",
    "normals": "draws on the host; assess",
    "option_scenarios": "assess, options, by option_scenarios",
    "parameters": "checks of arguments",
    "path_greeks": "the deltas of simulated contracts",
    "portfolio": "each result carries its own residual and gap, in float64",
    "portfolio_hierarchy": "float64 on the host",
    "portfolio_interior": "float64 on the host",
    "portfolio_tail": "each result carries its own gap, in float64",
    "ranks": "fits in float64 on the host",
    "stepping": "no mathematics of its own",
    "triton": "against the eager kernel on first use",
    "volatility_loop": "float64 on the host; against the eager kernel on first use",
}


@cache
def oracle(name: str) -> list:
    with ComputeEngine("cpu", "float64") as exact:
        return figures(BY_NAME[name], exact)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_kernel_is_within_its_tolerance(name, engine):
    assert 0 <= largest_difference(figures(BY_NAME[name], engine), oracle(name)) <= BY_NAME[name].tolerance


@pytest.mark.parametrize("noise", NOISES)
def test_tolerances_hold_with_the_errors_of_apples_operators(noise):
    """In float32 with each operator as poor as on MPS; erfinv and lgamma stay on the host, in float64."""
    errors = {}
    with ComputeEngine("cpu") as engine:
        for name, check in BY_NAME.items():
            with MpsGrade(NOISES[noise]) as mode:
                found = figures(check, engine)
            errors[name] = largest_difference(found, oracle(name))
            assert not mode.spoiled & {"erfinv", "lgamma"}
    assert {name: error for name, error in errors.items() if not error <= BY_NAME[name].tolerance} == {}


def test_the_errors_reach_the_kernels():
    with ComputeEngine("cpu") as engine, MpsGrade(NOISES["always up"]) as mode:
        spoiled = figures(BY_NAME["black_scholes.price"], engine)
        figures(BY_NAME["implied_volatility.implied_volatility"], engine)
    clean = figures(BY_NAME["black_scholes.price"], engine := ComputeEngine("cpu"))
    engine.close()
    assert largest_difference(spoiled, clean) > 1e-8
    assert {"erfc", "exp", "log", "special_erfcx"} <= mode.spoiled <= {"erfc", *RELATIVE}


def test_the_errors_are_those_of_apples_operators():
    x = torch.linspace(0.1, 0.9, 50)
    with MpsGrade(NOISES["always up"]):
        found = {name: getattr(torch, name)(x) for name in ("erfinv", "lgamma")} | {"erfc": torch.erfc(5.0 + x)}
    for name in ("erfinv", "lgamma"):
        gap = (found[name].double() / getattr(torch, name)(x.double()) - 1).abs().max()
        assert float(gap) == pytest.approx(RELATIVE[name], rel=0.1)
    assert not found["erfc"].any()


def test_every_module_of_kernels_is_checked():
    modules = {module.name for module in pkgutil.iter_modules(nautilus_metal.kernels.__path__)}
    named = {check.name.partition(".")[0].partition(",")[0] for check in CHECKS}
    assert modules - named == set(ELSEWHERE)


def wrong(engine):
    error = 1e-3 if engine.dtype == torch.float32 else 0.0
    return [torch.ones(4) + error, torch.arange(3.0)]


def broken(engine):
    if engine.dtype == torch.float32:
        raise NotImplementedError("no such operator\nand more")
    return [1.0]


ROWS = (
    Check("right", lambda engine: [np.arange(4.0)], 1e-6),
    Check("wrong", wrong, 1e-6),
    Check("broken", broken, 1.0),
)


def test_what_is_wrong_is_said_and_the_rest_goes_on(capsys):
    assert verify("cpu", checks=ROWS) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith(("right", "wrong", "broken"))] == [
        "PASS", "FAIL", "FAIL",
    ]  # fmt: skip
    assert next(line for line in lines if line.startswith("wrong")).split()[1] == "1.0e-03"
    assert "  NotImplementedError: no such operator" in lines
    assert lines[-1].startswith("FAIL: 1 of 3 within tolerance on cpu")


def test_the_verdict_names_versions_and_device(capsys, device):
    assert main(["doctor", "--verify", "--device", device]) == 0
    out = capsys.readouterr().out
    assert "torch " + torch.__version__.partition("+")[0] in out
    assert f"{device}: " in out
    assert f"PASS: {len(CHECKS)} of {len(CHECKS)} within tolerance on {device}" in out


def test_as_json(capsys):
    assert verify("cpu", as_json=True, checks=ROWS) == 1
    facts = json.loads(capsys.readouterr().out)
    assert not facts["passed"]
    assert [row["passed"] for row in facts["checks"]] == [True, False, False]
    assert facts["checks"][2]["error"] is None
    assert facts["checks"][2]["fault"] == "NotImplementedError: no such operator"


@pytest.mark.parametrize("value", ["1", "0"])
def test_a_fall_back_to_the_processor_is_named(value, capsys, monkeypatch):
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", value)
    assert verify("cpu", checks=ROWS[:1]) == 0
    assert ("ran on the processor" in capsys.readouterr().out) == (value == "1")


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([math.nan, 1.0], [math.nan, 1.0], 0.0),
        ([math.nan, 1.0], [1.0, 1.0], math.inf),
        ([1.0, 1.0], [math.nan, 1.0], math.inf),
        ([math.inf, 1.0], [math.nan, 1.0], math.inf),
        ([1.0, 1.0, 1.0], [1.0, 1.0], math.inf),
        ([0.0, 1e-9], [0.0, 0.0], 1e-9),
        ([], [], 0.0),
    ],
)
def test_differences(found, expected, error):
    assert difference(np.array(found), np.array(expected)) == pytest.approx(error, rel=1e-12)


def test_it_needs_no_nautilus_trader():
    """Its wheels are for few versions of macOS."""
    code = (
        "import sys\n"
        "sys.modules['nautilus_trader'] = None\n"
        "from nautilus_metal.cli.verify import CHECKS, verify\n"
        "sys.exit(verify('cpu', checks=CHECKS[:3]))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "PASS: 3 of 3" in done.stdout
