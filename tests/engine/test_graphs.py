"""CUDA graphs: recorded from the third call on, replayed with fresh inputs, dropped where that cannot be."""

import pytest
import torch

from nautilus_metal.engine.graphs import FIRST, KEPT, GraphCache


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device("cuda")


def test_on_the_cpu_the_work_just_runs():
    cache = GraphCache()
    for k in range(FIRST + 2):
        assert cache.run("sum", [], [torch.full((3,), float(k))], lambda given: given[0].sum()) == 3.0 * k
    assert cache.replays == 0


@pytest.mark.gpu
def test_a_graph_follows_its_inputs_and_what_it_reads_in_place(cuda):
    cache, calls = GraphCache(), []
    held = torch.arange(4.0, device=cuda)

    def work(given):
        calls.append(1)
        return (held * given[0]).cumsum(0) + given[1]

    for k in range(FIRST + 4):
        held.add_(1.0)  # the same place, other contents
        inputs = [torch.full((4,), float(k), device=cuda), torch.tensor(2.0 * k, device=cuda)]
        found = cache.run("work", [held], inputs, work)
        torch.testing.assert_close(found, (held * k).cumsum(0) + 2.0 * k, rtol=0, atol=0)
    assert cache.replays == 4
    assert len(calls) == FIRST + 2  # once more to warm up, once to record


@pytest.mark.gpu
def test_a_block_that_moved_is_recorded_again(cuda):
    cache = GraphCache()
    blocks = [torch.full((5,), float(k), device=cuda) for k in range(KEPT + 2)]
    for _ in range(2):
        for block in blocks:
            for _ in range(FIRST + 1):
                ones = torch.ones(5, device=cuda)
                found = cache.run("sum", [block], [ones], lambda given, b=block: (b * given[0]).sum())
                assert float(found) == float(block.sum())
    assert cache.replays >= len(blocks)


@pytest.mark.gpu
def test_work_that_waits_for_the_host_runs_without_a_graph(cuda):
    cache = GraphCache()

    def work(given):
        return given[0] * given[0].sum().item()

    one = torch.ones(3, device=cuda)
    for k in range(FIRST + 2):
        if k == FIRST - 1:
            with pytest.warns(RuntimeWarning, match="waits runs without a CUDA graph"):
                found = cache.run("waits", [], [one], work)
        else:
            found = cache.run("waits", [], [one], work)
        assert found.tolist() == [3.0] * 3
    assert cache.dropped == {"waits"}
    torch.nn.functional.dropout(torch.ones(8, device=cuda), 0.5)  # random numbers are not kept waiting
    assert cache.replays == 0
