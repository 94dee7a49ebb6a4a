"""The simulated device, its modules, generators and counters."""

import time

import mps_sim
import pytest
import torch

from tests.mps_sim.cases import MIB


def test_device_is_available():
    assert torch.backends.mps.is_available()
    assert torch.backends.mps.is_built()
    assert torch.backends.mps.is_macos13_or_newer()
    assert torch.backends.mps.get_name()
    assert torch.mps.is_available()
    assert torch.mps.device_count() == 1
    assert not torch.cuda.is_available()
    assert torch.cuda.device_count() == 0
    assert torch.zeros(2, device="mps").device == torch.device("mps", 0)
    assert torch.get_device_module("mps") is torch.mps


def test_torch_mps_memory():
    x = torch.empty(MIB, device="mps")
    assert torch.mps.current_allocated_memory() == mps_sim.allocated_bytes() >= 4 * MIB
    assert torch.mps.driver_allocated_memory() >= torch.mps.current_allocated_memory()
    assert torch.mps.recommended_max_memory() == mps_sim.RECOMMENDED_BYTES
    before = torch.mps.current_allocated_memory()
    del x
    assert torch.mps.current_allocated_memory() == before - 4 * MIB
    assert torch.mps.driver_allocated_memory() >= before  # cached
    torch.mps.empty_cache()
    assert torch.mps.driver_allocated_memory() == torch.mps.current_allocated_memory()
    torch.mps.set_per_process_memory_fraction(2 * MIB / mps_sim.RECOMMENDED_BYTES)
    with pytest.raises(RuntimeError, match="out of memory"):
        torch.empty(MIB, device="mps")
    torch.mps.set_per_process_memory_fraction(0.0)
    torch.empty(MIB, device="mps")


def test_torch_accelerator():
    accelerator = torch.accelerator
    assert accelerator.current_accelerator() == torch.device("mps")
    assert accelerator.is_available()
    assert accelerator.device_count() == 1
    assert accelerator.current_device_index() == 0
    accelerator.set_device_index(0)
    accelerator.synchronize()
    x = torch.empty(MIB, device="mps")
    assert accelerator.memory_allocated() == mps_sim.allocated_bytes()
    assert accelerator.max_memory_allocated() >= 4 * MIB <= accelerator.memory_reserved()
    free, total = accelerator.get_memory_info()
    assert 0 < free < total
    del x
    accelerator.empty_cache()
    accelerator.reset_peak_memory_stats()
    assert accelerator.max_memory_allocated() == mps_sim.allocated_bytes()
    dtypes = accelerator.get_device_capability()["supported_dtypes"]
    assert torch.float32 in dtypes
    assert torch.float64 not in dtypes
    with torch.Stream("mps") as stream:
        assert accelerator.current_stream() == stream
    start, end = torch.Event("mps", enable_timing=True), torch.Event("mps", enable_timing=True)
    start.record()
    time.sleep(0.01)
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) >= 10
    assert end.query()


def test_torch_mps_events_and_streams():
    start, end = torch.mps.Event(enable_timing=True), torch.mps.Event(enable_timing=True)
    start.record()
    time.sleep(0.01)
    end.record()
    end.wait()
    end.synchronize()
    assert end.query()
    assert start.elapsed_time(end) >= 10
    if hasattr(torch.mps, "Stream"):  # torch 2.15
        stream = torch.mps.Stream()
        with torch.mps.stream(stream):
            assert torch.mps.current_stream() == stream
        assert torch.mps.current_stream() == torch.mps.default_stream() != stream
    with torch.mps.profiler.profile():
        torch.mps.synchronize()
    with pytest.raises(NotImplementedError, match="shaders"):
        torch.mps.compile_shader("kernel void f() {}")


def test_settings_are_checked():
    with pytest.raises(ValueError, match="mode"):
        mps_sim.install(mode="strict")
    with pytest.raises(ValueError, match="no table"):
        mps_sim.install(version="1.0.0")


def test_generator_is_reproducible():
    generator = torch.Generator(device="mps").manual_seed(7)
    assert generator.device.type == "mps"
    assert generator.initial_seed() == 7
    state = generator.get_state()
    first = torch.randn(5, generator=generator, device="mps")
    second = torch.randn(5, generator=generator, device="mps")
    assert not torch.equal(first, second)
    generator.set_state(state)
    assert torch.equal(first, torch.randn(5, generator=generator, device="mps"))
    assert torch.equal(second, torch.randn(5, generator=generator.clone_state(), device="mps"))


def test_default_generator():
    torch.manual_seed(3)
    first = torch.rand(4, device="mps")
    torch.mps.manual_seed(3)
    assert torch.equal(first, torch.rand(4, device="mps"))
    state = torch.mps.get_rng_state()
    second = torch.rand(4, device="mps")
    torch.mps.set_rng_state(state)
    assert torch.equal(second, torch.rand(4, device="mps"))


def test_generators_of_two_devices_do_not_agree():
    cpu = torch.randn(8, generator=torch.Generator().manual_seed(1))
    mps = torch.randn(8, generator=torch.Generator("mps").manual_seed(1), device="mps").cpu()
    assert not torch.equal(cpu, mps)
    with pytest.raises(RuntimeError, match="size"):
        torch.Generator("mps").set_state(torch.Generator().get_state())
    with pytest.raises(RuntimeError, match="Expected a 'mps' device type"):
        torch.randn(3, device="mps", generator=torch.Generator())
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type"):
        torch.randn(3, generator=torch.Generator("mps"))


def test_operators_draw_from_the_generator_of_their_device():
    mps_sim.install(version="2.15.0")  # older tables lack some of them
    x = torch.full((64,), 0.5, device="mps")
    draws = [
        lambda: torch.nn.functional.dropout(x),
        lambda: torch.nn.functional.dropout1d(x.view(1, 64, 1)),
        lambda: torch.rand_like(x),
        lambda: torch.randperm(64, device="mps"),
        lambda: torch.poisson(9 * x),
        lambda: torch.randint(0, 99, (64,), device="mps"),
        lambda: torch.distributions.Gamma(x, x).sample(),
        lambda: x.clone().normal_(),
        lambda: x.bernoulli(),
        lambda: x.multinomial(5),
    ]
    for draw in draws:
        cpu_state = torch.get_rng_state()
        torch.mps.manual_seed(1)
        first, second = draw(), draw()
        torch.mps.manual_seed(1)
        assert torch.equal(draw(), first)
        assert not torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), cpu_state)
    dropped = torch.nn.functional.dropout(torch.ones(10_000, device="mps"), 0.25)
    assert abs((dropped == 0).float().mean().item() - 0.25) < 0.02
    assert dropped.max().item() == pytest.approx(4 / 3)


def test_memory_limit():
    mps_sim.install(memory_limit_bytes=64 * MIB, max_buffer_bytes=16 * MIB)
    base = mps_sim.allocated_bytes()
    assert torch.mps.recommended_max_memory() == 64 * MIB
    with pytest.raises(RuntimeError, match="Invalid buffer size"):
        torch.empty(17 * MIB, dtype=torch.uint8, device="mps")
    kept = [torch.zeros(15 * MIB, dtype=torch.uint8, device="mps") for _ in range(4)]
    with pytest.raises(RuntimeError, match="out of memory"):
        torch.empty(15 * MIB, dtype=torch.uint8, device="mps")
    with pytest.raises(RuntimeError, match="out of memory"):
        kept[0] + 1  # results of operators count as well
    assert mps_sim.allocated_bytes() - base == 60 * MIB
    del kept[0]
    kept.append(kept[0] + 1)
    view = kept[0][5:]
    assert mps_sim.allocated_bytes() - base == 60 * MIB  # views need no memory
    del kept, view
    assert mps_sim.allocated_bytes() == base
    assert mps_sim.peak_bytes() >= 60 * MIB
    mps_sim.reset()
    assert mps_sim.peak_bytes() == base


def test_sync_count():
    x = torch.rand(10, device="mps")

    def syncs(call):
        before = mps_sim.sync_count()
        call()
        return mps_sim.sync_count() - before

    assert syncs(lambda: x.exp().cumsum(0).sum()) == 0
    assert syncs(lambda: x.sum().item()) == 1
    assert syncs(lambda: x.cpu()) == 1
    assert syncs(lambda: torch.ones(3).to("mps")) == 1
    assert syncs(lambda: torch.ones(3).to("mps", non_blocking=True)) == 0
    assert syncs(lambda: x[x > 0.5]) == 1  # the shape depends on the data
    assert syncs(torch.mps.synchronize) == 1
    assert syncs(torch.accelerator.synchronize) == 1
