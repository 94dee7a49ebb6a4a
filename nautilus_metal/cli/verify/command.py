"""Run all checks and print a verdict that can be pasted into an issue."""

import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nautilus_metal import __version__
from nautilus_metal.cli.verify import option_checks, risk_checks, scenario_checks, series_checks
from nautilus_metal.cli.verify.check import Check, Finding, examine
from nautilus_metal.engine import ComputeEngine

CHECKS: tuple[Check, ...] = (
    *series_checks.CHECKS, *scenario_checks.CHECKS, *option_checks.CHECKS, *risk_checks.CHECKS,
)  # fmt: skip
VERSIONS = ("torch", "numpy", "nautilus_trader")
FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"


def verify(device: str = "auto", as_json: bool = False, checks: Sequence[Check] = CHECKS) -> int:
    """Check every kernel on a device against float64 on the host.

    Parameters
    ----------
    device : str
        See `ComputeEngine`.
    as_json : bool
        Print JSON in place of a table.
    checks : sequence of Check
        What to check; all by default.

    Returns
    -------
    int
        0 where every kernel is within its tolerance, else 1.

    Raises
    ------
    InputError, DeviceError
        If there is no such device.
    """
    started = time.perf_counter()
    with ComputeEngine(device) as engine, ComputeEngine("cpu", "float64") as exact:
        findings = [examine(check, engine, exact) for check in checks]
        facts = _facts(engine, findings, time.perf_counter() - started)
    print(json.dumps(facts, indent=2) if as_json else "\n".join(_page(facts, findings)))
    return 0 if facts["passed"] else 1


def _facts(engine: ComputeEngine, findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    status = engine.status()
    return {
        "passed": all(finding.passed for finding in findings),
        "nautilus_metal": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in VERSIONS},
        "device": status["device"],
        "device_name": status["device_name"],
        "dtype": status["dtype"],
        "fallback": os.environ.get(FALLBACK),
        "seconds": seconds,
        "checks": [
            {
                "name": finding.name,
                "error": finding.error if finding.error != float("inf") else None,
                "tolerance": finding.tolerance,
                "passed": finding.passed,
                "milliseconds": finding.milliseconds,
                "fault": finding.fault,
            }
            for finding in findings
        ],
    }


def _page(facts: dict[str, Any], findings: Sequence[Finding]) -> Iterator[str]:
    versions = ", ".join(f"{name} {found or 'missing'}" for name, found in facts["versions"].items())
    yield f"nautilus_metal {facts['nautilus_metal']} on Python {facts['python']}, {facts['platform']}"
    yield versions
    yield f"{facts['device']}: {facts['device_name']}, {facts['dtype']} against float64 on the processor"
    if facts["fallback"] not in (None, "0"):
        yield f"{FALLBACK}={facts['fallback']}: operators that the device lacks ran on the processor"
    yield ""
    width = max(len(finding.name) for finding in findings)
    yield f"{'kernel'.ljust(width)}  max error  tolerance"
    for finding in findings:
        error = "-" if finding.error is None else f"{finding.error:.1e}"
        line = f"{finding.name.ljust(width)}  {error:>9}  {finding.tolerance:>9.1e}"
        yield f"{line}  {'PASS' if finding.passed else 'FAIL'}"
        if finding.fault:
            yield f"  {finding.fault}"
    yield ""
    good = sum(finding.passed for finding in findings)
    yield (
        f"{'PASS' if facts['passed'] else 'FAIL'}: {good} of {len(findings)} within tolerance on {facts['device']}, "
        f"{facts['seconds']:.1f} s"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
