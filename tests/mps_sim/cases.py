"""What the simulator's tests share: bit-for-bit comparison."""

import torch

MIB = 2**20


def bits(t):
    """The elements as integers, so that comparison also tells -0.0 from 0.0 and accepts equal NaNs."""
    plain = torch.empty(t.numel(), dtype=t.dtype).copy_(t.detach().cpu().flatten())
    return plain.view(torch.int32) if t.dtype == torch.float32 else plain


def assert_same(mps, cpu):
    assert mps.device.type == "mps"
    assert cpu.device.type == "cpu"
    assert (mps.shape, mps.dtype, mps.stride(), mps.storage_offset()) == (
        cpu.shape,
        cpu.dtype,
        cpu.stride(),
        cpu.storage_offset(),
    )
    assert torch.equal(bits(mps), bits(cpu))
