import threading

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, available_devices, shared_engine
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.engine.devices import KINDS
from nautilus_metal.errors import DeviceError, InputError, OutOfDeviceMemory


def test_attributes_and_status(engine):
    status = engine.status()
    kind = engine.device.type
    assert engine.dtype is torch.float32
    assert engine.exact_dtype is KINDS[kind].exact_dtype
    assert status["device"] == str(engine.device)
    assert status["dtype"] == "float32"
    assert status["exact_dtype"] == ("float32" if kind == "mps" else "float64")
    assert status["seed"] == engine.seed == 0
    assert status["budget_mb"] == pytest.approx(status["total_mb"] * KINDS[kind].default_fraction)
    assert status["pool"]["total_allocated_mb"] == 0
    assert status["pool"]["cache_hit_rate"] is None
    assert status["torch"] == torch.__version__
    assert status["health"] == engine.health == "ok"
    assert isinstance(status["device_name"], str)
    assert status["device_name"]


def test_auto_is_the_first_available():
    with ComputeEngine() as engine:
        assert str(engine.device) == available_devices()[0]


@pytest.mark.parametrize(
    "bad",
    [
        {"device": "tpu"},
        {"precision": "float16"},
        {"precision": torch.float32},
        {"precision": None},
        *({"memory_fraction": x} for x in (0, -0.1, 1.01, float("nan"), float("inf"), "0.5", True)),
        *({"seed": x} for x in (-1, 1.0, 2**63, "1", None, True)),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [ComputeEngine, shared_engine])
def test_bad_arguments(make, bad):
    (name,) = bad
    with pytest.raises(InputError, match=f"`{name}` must be"):
        make(**{"device": "cpu", **bad})


def test_an_absent_device_is_a_device_error():
    with pytest.raises(DeviceError, match=r"available: .*cpu"):
        ComputeEngine("cuda:9")


def test_float64_is_there_except_on_mps(engine):
    kind = engine.device.type
    if kind == "mps":
        with pytest.raises(InputError, match="`precision` must be"):
            ComputeEngine(kind, precision="float64")
        with pytest.raises(InputError, match="`dtype` must be"):
            engine.upload([1.0], dtype=torch.float64)
    else:
        with ComputeEngine(kind, precision="float64") as double:
            assert double.upload([0.1]).dtype is torch.float64


@pytest.mark.parametrize("fraction", [1e-4, 0.25, 1, np.float32(0.5)])
def test_memory_fraction_is_the_pools_budget(fraction):
    with ComputeEngine("cpu", memory_fraction=fraction) as engine:
        total = engine.status()["total_mb"] * MIB
        assert engine.pool.budget_bytes == int(total * float(fraction))


def test_upload_and_download_keep_values_and_shape(engine):
    values = np.linspace(-3, 5, 12).reshape(3, 4).T
    tensor = engine.upload(values)
    assert tensor.device.type == engine.device.type
    assert tensor.dtype is torch.float32
    assert tensor.is_contiguous()
    back = engine.download(tensor)
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, values.astype(np.float32))
    np.testing.assert_array_equal(engine.download(tensor.T), values.astype(np.float32).T)


@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        ([1, 2, 3], None),
        (5, None),
        (np.zeros((0, 3)), None),
        (np.arange(4), torch.int64),
        (np.array([True, False]), torch.bool),
        (torch.arange(6, dtype=torch.float64).reshape(2, 3).T, None),
        (range(3), torch.int32),
    ],
    ids=str,
)
def test_upload_takes_arrays_of_any_kind(engine, source, dtype):
    tensor = engine.upload(source, dtype)
    assert tensor.dtype is (dtype or torch.float32)
    np.testing.assert_array_equal(engine.download(tensor), np.asarray(source, dtype=np.float64))


def test_uploads_and_downloads_share_no_memory(engine):
    for source in (np.ones(4, np.float32), torch.ones(4), torch.ones(4, device=engine.device)):
        tensor = engine.upload(source)
        tensor.zero_()
        assert float(source.sum()) == 4
    exact = engine.upload(np.ones(3), engine.exact_dtype)
    engine.download(exact)[:] = 7
    assert float(exact.sum()) == 3


def test_download_into_an_array(engine):
    values = np.linspace(-3, 5, 12).reshape(3, 4)
    out = np.zeros((3, 4))
    for tensor in (engine.upload(values), engine.upload(values.T).T, engine.upload(values, engine.exact_dtype)):
        out[:] = 0.0
        assert engine.download(tensor, out) is out
        np.testing.assert_array_equal(out, engine.download(tensor))
    tensor.zero_()
    assert out.any()


@pytest.mark.parametrize("out", [np.zeros(4), np.zeros((3, 4), np.float32), np.zeros((4, 3))], ids=str)
def test_download_refuses_an_array_of_another_kind(engine, out):
    with pytest.raises(InputError, match=r"`out` must be float64 of \(3, 4\), was float"):
        engine.download(engine.upload(np.ones((3, 4))), out)


def test_upload_of_a_read_only_array_neither_warns_nor_shares(recwarn, engine):
    source = np.ones(3, np.float32)
    source.flags.writeable = False
    engine.upload(source).zero_()
    assert source.sum() == 3
    assert not recwarn.list


@pytest.mark.parametrize("bad", [["a"], [1 + 2j], [None], np.array(["2020-01-01"], "datetime64[D]")])
def test_upload_refuses_what_is_not_a_real_number(engine, bad):
    with pytest.raises(InputError, match="`array` must hold real numbers"):
        engine.upload(bad)


def test_use_after_close_is_a_device_error():
    with ComputeEngine("cpu") as engine:
        pool = engine.pool
        with pool.borrow(10, key="kept"):
            pass
    assert engine.closed
    assert pool.reserved_bytes == 0
    engine.close()
    for use in (
        lambda: engine.pool,
        engine.status,
        engine.synchronize,
        lambda: engine.upload([1.0]),
        lambda: engine.download(torch.ones(1)),
        engine.__enter__,
        pool.borrow(3).__enter__,
    ):
        with pytest.raises(DeviceError, match="closed"):
            use()


def test_shared_engine_is_one_per_settings_and_pool_one_per_device():
    engine = shared_engine("cpu")
    assert shared_engine(torch.device("cpu")) is engine
    assert shared_engine("cpu", precision="float32") is engine
    others = [shared_engine("cpu", precision="float64"), shared_engine("cpu", seed=1)]
    for other in others:
        assert other is not engine
        assert other.pool is engine.pool
    assert ComputeEngine("cpu").pool is not engine.pool


def test_closing_a_shared_engine_does_not_take_it_from_the_others():
    with shared_engine("cpu") as engine:
        engine.close()
    with engine.pool.borrow(4) as tensor:
        assert tensor.shape == (4,)


def test_shared_budget_follows_the_last_given_fraction():
    engine = shared_engine("cpu")
    before = engine.pool.budget_bytes
    try:
        assert shared_engine("cpu", memory_fraction=0.1) is engine
        total = engine.status()["total_mb"] * MIB
        assert engine.pool.budget_bytes == int(total * 0.1)
        shared_engine("cpu")
        assert engine.pool.budget_bytes == int(total * 0.1)
        with engine.pool.borrow(10_000), pytest.raises(OutOfDeviceMemory):
            shared_engine("cpu", memory_fraction=1e-9)
        assert engine.pool.budget_bytes == int(total * 0.1)
    finally:
        engine.pool.resize(before)


def test_threads_get_the_same_shared_engine():
    barrier = threading.Barrier(8)
    found = []

    def ask() -> None:
        barrier.wait()
        found.append(shared_engine("cpu", seed=987_654))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
