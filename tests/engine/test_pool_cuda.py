"""What only a CUDA device can show: agreement with torch's own count, streams, and a device that is really full."""

import pytest
import torch

from nautilus_metal.engine import ComputeEngine, MemoryPool
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.errors import OutOfDeviceMemory

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("no cuda device here")
    with ComputeEngine("cuda") as engine:
        yield engine


def test_reserved_bytes_are_what_torch_counts(cuda):
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(cuda.device)
    for nbytes in (1, 513, 5000, 10**6, 3 * 10**7):
        with cuda.pool.borrow(nbytes, torch.uint8, key=nbytes), cuda.pool.borrow(nbytes // 4):
            assert torch.cuda.memory_allocated(cuda.device) - before == cuda.pool.reserved_bytes
    assert torch.cuda.memory_allocated(cuda.device) - before == cuda.pool.stats().total_allocated_mb * MIB
    cuda.pool.clear()
    cuda.pool.trim()
    # The empty tensors that mark ended loans hold no memory.
    assert torch.cuda.memory_allocated(cuda.device) == before


def test_a_block_that_changes_streams_waits_for_its_last_user(cuda):
    side = torch.cuda.Stream()
    busy = torch.randn(4096, 4096, device=cuda.device)
    for _ in range(5):
        with torch.cuda.stream(side), cuda.pool.borrow(10**6) as tensor:
            for _ in range(20):
                busy @ busy
            tensor.fill_(1)
        with cuda.pool.borrow(10**6) as tensor:
            tensor.fill_(2)
            torch.cuda.synchronize()
            assert bool((tensor == 2).all())


def test_a_full_device_is_out_of_device_memory(cuda):
    pool = MemoryPool(cuda.device, 2**60)
    total = cuda.status()["total_mb"] * MIB
    with pool.borrow(10**6, key="idle"):
        pass
    with pytest.raises(OutOfDeviceMemory, match="itself refused"), pool.borrow(int(total * 2), torch.uint8):
        pass
    assert pool.reserved_bytes == 0
    with pool.borrow(10**6) as tensor:
        assert float(tensor.fill_(1).sum()) == 10**6
    pool.close()
