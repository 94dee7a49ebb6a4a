import os

import pytest
import torch

from nautilus_metal.engine import available_devices, devices
from nautilus_metal.engine.compute import budget_bytes
from nautilus_metal.engine.devices import KINDS, is_out_of_memory, resolve
from nautilus_metal.errors import DeviceError, InputError


def _pretend(monkeypatch: pytest.MonkeyPatch, **counts: int) -> None:
    """Make the table count devices that are not there."""
    for kind, count in counts.items():
        row = KINDS[kind]
        columns = {name: getattr(row, name) for name in row.__dataclass_fields__}
        columns["count"] = lambda count=count: count
        if kind == "cuda":
            columns["default_index"] = lambda: 0
        monkeypatch.setitem(KINDS, kind, type(row)(**columns))


@pytest.mark.parametrize(
    ("mps", "cuda", "expected"),
    [(0, 0, "cpu"), (0, 2, "cuda:0"), (1, 0, "mps"), (1, 2, "mps")],
)
def test_auto_picks_mps_then_cuda_then_cpu(monkeypatch, mps, cuda, expected):
    _pretend(monkeypatch, mps=mps, cuda=cuda)
    assert str(resolve("auto")) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cuda", "cuda:0"),
        ("cuda:1", "cuda:1"),
        ("mps", "mps"),
        ("mps:0", "mps"),
        ("cpu", "cpu"),
        ("cpu:0", "cpu"),
        (torch.device("cuda", 1), "cuda:1"),
        (torch.device("cpu"), "cpu"),
    ],
)
def test_names(monkeypatch, name, expected):
    _pretend(monkeypatch, mps=1, cuda=2)
    assert str(resolve(name)) == expected


@pytest.mark.parametrize(
    "name",
    ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1.0", "cuda:x", "cpu ", " mps", "auto:0", "cuda:99999", None, 0],
)
def test_what_is_no_name_is_an_input_error(name):
    with pytest.raises(InputError, match="`device` must be"):
        resolve(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:9", "mps:1", "cpu:1"])
def test_an_absent_device_names_those_that_are_there(monkeypatch, name):
    _pretend(monkeypatch, mps=1, cuda=2)
    with pytest.raises(DeviceError, match=f"'{name}' is not available here; available: mps, cuda:0, cuda:1, cpu"):
        resolve(name)


def test_absent_kinds(monkeypatch):
    _pretend(monkeypatch, mps=0, cuda=0)
    assert available_devices() == ["cpu"]
    for name in ("mps", "cuda", "cuda:0", torch.device("cuda", 0)):
        with pytest.raises(DeviceError, match="available: cpu"):
            resolve(name)


def test_every_available_device_resolves_to_itself():
    assert [str(resolve(name)) for name in available_devices()] == available_devices()


def test_exact_types():
    assert {kind: row.exact_dtype for kind, row in KINDS.items()} == {
        "mps": torch.float32,
        "cuda": torch.float64,
        "cpu": torch.float64,
    }


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GiB, max allowed: 6.00 GiB)"),
        RuntimeError("Invalid buffer size: 40.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_in_every_backends_words(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: an illegal memory access"), ValueError("out of memory")])
def test_other_errors_are_not_out_of_memory(error):
    assert not is_out_of_memory(error)


def test_torch_itself_speaks_these_words_on_the_cpu():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


WATERMARKS = ("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_LOW_WATERMARK_RATIO")


def test_both_watermarks_of_metal_are_lowered_before_torch_reads_them(monkeypatch):
    for name in WATERMARKS:
        monkeypatch.delenv(name, raising=False)
    _pretend(monkeypatch, mps=1)
    resolve("mps")
    high, low = (float(os.environ[name]) for name in WATERMARKS)
    assert 0 < low <= high <= 1, "torch refuses a low one above the high one; above 1 it may swap"
    assert low <= KINDS["mps"].default_fraction, "torch empties its cache before our budget is reached"


@pytest.mark.parametrize("chosen", WATERMARKS)
def test_a_watermark_that_the_user_chose_stays_alone(monkeypatch, chosen):
    for name in WATERMARKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(chosen, "1.5")
    KINDS["mps"].prepare()
    assert [os.environ.get(name) for name in WATERMARKS] == ["1.5" if name == chosen else None for name in WATERMARKS]


@pytest.mark.parametrize(
    ("recommended", "ram", "expected"),
    [(12, 16, 12), (16, 16, 12), (96, 128, 96), (12, None, 12)],
)
def test_the_budget_on_a_mac_is_below_what_swaps(monkeypatch, recommended, ram, expected):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: recommended * 2**30)
    monkeypatch.setattr(devices, "main_memory", lambda: None if ram is None else ram * 2**30)
    assert KINDS["mps"].total_memory(0) == expected * 2**30
    assert budget_bytes(torch.device("mps"), None) == int(0.8 * expected * 2**30)


def test_a_system_that_hides_its_memory_is_a_device_error(monkeypatch):
    monkeypatch.setattr(devices, "main_memory", lambda: None)
    with pytest.raises(DeviceError, match="how much memory"):
        KINDS["cpu"].total_memory(0)
