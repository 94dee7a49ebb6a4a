"""CUDA graphs: work of fixed shapes is recorded once and then replayed, without the host between its kernels.

The inputs of a replay are copied into the buffers that were recorded, and its outputs are copied out of them. What is
not copied (a block of cached normals) is part of the key by its address, so that the work is recorded again when it
moves. Work that cannot be recorded runs as it is, from then on for good, with a `RuntimeWarning`.
"""

import logging
import os
import threading
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nautilus_metal.engine.devices import is_out_of_memory
from nautilus_metal.engine.fused import SWITCH
from nautilus_metal.errors import InputError

Work = Callable[[Sequence[Tensor]], Tensor]

FIRST = 3  # calls with the same key until recording pays: it takes some of them
KEPT = 8  # recordings; a structure that is not seen again makes room
_SEEN = 256  # keys whose calls are counted
_TOLERANCE = 1e-6  # of the largest magnitude, between a graph and the work itself

_logger = logging.getLogger(__name__)


class Recording(NamedTuple):
    """A graph, the buffers that it reads, and the one that it leaves its answer in."""

    graph: Any
    inputs: list[Tensor]
    output: Tensor


class GraphCache:
    """The recordings of a process.

    Attributes
    ----------
    dropped : set of str
        Names of work that could not be recorded.
    replays : int
        Calls that a graph has answered.
    """

    def __init__(self) -> None:
        self._recordings: OrderedDict[Hashable, Recording] = OrderedDict()
        self._calls: Counter[Hashable] = Counter()
        self._lock = threading.Lock()
        self.dropped: set[str] = set()
        self.replays = 0

    def run(self, name: str, held: Sequence[Tensor], inputs: Sequence[Tensor], work: Work) -> Tensor:
        """Do some work, by its graph where there is one.

        Parameters
        ----------
        name : str
            The work.
        held : sequence of Tensor
            What it reads in place: recorded again where one of them has moved.
        inputs : sequence of Tensor
            What it reads and may be changed between calls.
        work : callable
            ``work(inputs)`` makes one tensor; it allocates from torch alone and waits for nothing.

        Returns
        -------
        Tensor
            The caller's own.
        """
        device = inputs[0].device
        if device.type != "cuda" or name in self.dropped or os.environ.get(SWITCH) == "0":
            return work(inputs)
        layout = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        key = (name, device, layout, tuple((block.data_ptr(), block.shape, block.stride()) for block in held))
        with self._lock, torch.cuda.device(device):
            recording = self._recordings.get(key)
            if recording is None:
                if len(self._calls) > _SEEN:
                    self._calls.clear()
                self._calls[key] += 1
                if self._calls[key] < FIRST:
                    return work(inputs)
                return self._record(name, key, inputs, work)
            self._recordings.move_to_end(key)
            torch._foreach_copy_(recording.inputs, list(inputs))
            recording.graph.replay()
            self.replays += 1
            return recording.output.clone()

    def clear(self) -> None:
        """Forget all recordings, and give their memory back to torch."""
        with self._lock:
            self._recordings.clear()
            self._calls.clear()

    def _record(self, name: str, key: Hashable, inputs: Sequence[Tensor], work: Work) -> Tensor:
        """Record, replay once, and compare with the work itself."""
        expected = work(inputs)
        try:
            recording = _recorded(inputs, work)
            recording.graph.replay()
            near = _TOLERANCE * float(expected.abs().nan_to_num().max())
            if not torch.allclose(recording.output, expected, rtol=0.0, atol=near, equal_nan=True):
                raise RuntimeError("its graph gives another answer")
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, InputError):
                self._recordings.clear()
                raise
            self.dropped.add(name)
            _end_capture()
            warnings.warn(f"{name} runs without a CUDA graph: {error}", RuntimeWarning, stacklevel=4)
            return expected
        self._recordings[key] = recording
        self._calls.pop(key)
        while len(self._recordings) > KEPT:
            self._recordings.popitem(last=False)
        _logger.info("recorded %s as a CUDA graph", name)
        return expected


def _recorded(inputs: Sequence[Tensor], work: Work) -> Recording:
    buffers = [tensor.clone() for tensor in inputs]
    side = _side(buffers[0].device)
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what a library sets up at its first call is not recorded
        work(buffers)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        output = work(buffers)
    return Recording(graph, buffers, output)


@cache
def _side(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings: cuBLAS keeps a workspace of tens of MiB for each stream that it has met."""
    return torch.cuda.Stream(device)


def _end_capture() -> None:
    """Record nothing, well: a recording that broke off leaves torch's random numbers waiting for its end."""
    with suppress(RuntimeError), torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"):
        torch.zeros(1, device="cuda")


@contextmanager
def beside(device: torch.device) -> Iterator[Callable[[], None]]:
    """In a recording, place what is done inside beside what follows; call what this yields before its answer is read.

    Elsewhere it is done in its turn: of two streams the allocator would have to know what each still reads.
    """
    if device.type != "cuda" or not torch.cuda.is_current_stream_capturing():
        yield lambda: None
        return
    main, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        yield lambda: main.wait_stream(side)


_graphs: GraphCache | None = None
_made = threading.Lock()


def graphs() -> GraphCache:
    """Return the process' recordings."""
    global _graphs
    with _made:
        if _graphs is None:
            _graphs = GraphCache()
    return _graphs
