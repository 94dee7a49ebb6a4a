"""What the simulated device refuses, as macOS does."""

import json

import mps_sim
import pytest
import torch

from tests.mps_sim.cases import assert_same


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, dtype=torch.float64, device="mps"),
        lambda: torch.zeros(2, device="mps").double(),
        lambda: torch.zeros(2, dtype=torch.float64).to("mps"),
        lambda: torch.arange(3, device="mps").sum(dtype=torch.float64),
        lambda: torch.float_power(torch.ones(2, device="mps"), 2),
        lambda: torch.zeros(2, dtype=torch.complex128, device="mps"),
    ],
)
def test_float64_is_refused(make):
    with pytest.raises(TypeError, match="MPS"):
        make()


def test_missing_operator():
    x = torch.full((3,), 0.3, device="mps")
    with pytest.raises(NotImplementedError, match=r"aten::special_ndtri.*not currently implemented for the MPS"):
        torch.special.ndtri(x)
    assert mps_sim.missing_ops() == {"special_ndtri.out": 1}
    mps_sim.install(mode="record")
    mps_sim.reset()
    assert_same(torch.special.ndtri(x), torch.special.ndtri(x.cpu()))
    assert mps_sim.missing_ops() == {"special_ndtri.out": 1}
    mps_sim.install(mode="fallback")
    mps_sim.reset()
    with pytest.warns(UserWarning, match="fall back to run on the CPU"):
        torch.special.ndtri(x)
    mps_sim.reset()
    assert mps_sim.missing_ops() == {} == mps_sim.op_counts()


def test_tables_of_other_versions():
    tables = json.loads(mps_sim.TABLE.read_text())
    assert list(tables) == mps_sim.table_versions()
    x = torch.randn(4, 4, device="mps")
    mps_sim.install(version="2.15.0")
    torch.linalg.eigh(x + x.T)
    mps_sim.install(version="2.13.0")  # eigh came later
    with pytest.raises(NotImplementedError, match="_linalg_eigh"):
        torch.linalg.eigh(x + x.T)


@pytest.mark.parametrize(
    "mix",
    [
        lambda cpu, mps: cpu + mps,
        lambda cpu, mps: mps @ cpu,
        lambda cpu, mps: torch.cat([mps, cpu]),
        lambda cpu, mps: mps.add_(cpu),
        lambda cpu, mps: torch.where(mps > 0, mps, cpu),
        lambda cpu, mps: torch.add(mps, mps, out=cpu),
        lambda cpu, mps: mps.index_put_((torch.tensor([0]),), cpu[0]),
        lambda cpu, mps: torch.nn.functional.linear(mps, cpu),
    ],
)
def test_mixing_devices_is_refused(mix):
    with pytest.raises(RuntimeError, match="device"):
        mix(torch.ones(3, 3), torch.ones(3, 3, device="mps"))


def test_allowed_mixtures():
    x = torch.ones(3, device="mps")
    assert_same(x * torch.tensor(2.0), torch.full((3,), 2.0))  # 0-dim CPU tensors count as numbers
    assert mps_sim.warnings() == {}
    assert_same(x[torch.tensor([0, 2])], torch.ones(2))  # indices
    assert_same(x.copy_(torch.zeros(3)), torch.zeros(3))
    host = torch.empty(3, dtype=torch.float64)
    assert host.copy_(x) is host
    assert host.dtype == torch.float64
    x * torch.tensor(2.0, dtype=torch.float64)
    assert len(mps_sim.warnings()) == 1
    with pytest.raises(TypeError, match="convert mps"):
        x.numpy()


def test_limits_of_operators():
    with pytest.raises(RuntimeError, match="too large"):
        torch.zeros(2**24 + 1, device="mps").quantile(0.5)
    with pytest.raises(RuntimeError, match="dimensions <= 16"):
        torch.zeros([1] * 17, device="mps")
    with pytest.raises(NotImplementedError, match="strided"):
        torch.eye(3, device="mps").to_sparse()
