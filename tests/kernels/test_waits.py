"""Kernels never wait for the device: a launch costs microseconds, a wait a fraction of a millisecond."""

import pytest

from nautilus_metal.cli.verify import option_checks, scenario_checks, series_checks
from nautilus_metal.engine import ComputeEngine

pytestmark = pytest.mark.gpu

# Rows that run kernels alone; prices by simulation and whole risk figures are brought to the host.
KERNELS = {
    check.name: check
    for check in (*series_checks.CHECKS, *scenario_checks.CHECKS, *option_checks.CHECKS)
    if not check.name.startswith(("paths", "payoffs", "merton", "heston", "longstaff"))
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_does_not_wait(name, simulator):
    with ComputeEngine("mps") as engine:
        KERNELS[name].compute(engine)
        simulator.reset()
        outputs = KERNELS[name].compute(engine)
        assert {output.device.type for output in outputs} == {"mps"}
        assert simulator.sync_count() == simulator.upload_count()
