"""What the pressure on a device's memory changes: evict, then cut work in pieces, then go to the CPU."""

from collections.abc import Callable
from dataclasses import dataclass

from nautilus_metal.engine.blocks import Pressure, pressure_level
from nautilus_metal.engine.compute import ComputeEngine
from nautilus_metal.engine.devices import KINDS, is_out_of_memory
from nautilus_metal.engine.shared import shared_engine
from nautilus_metal.errors import InputError


@dataclass(frozen=True, slots=True)
class Response:
    """What one level of pressure does to the next piece of work.

    Attributes
    ----------
    evict : bool
        Idle blocks, contents included, go back to the device first.
    share : float
        Most of the free room that one piece may take.
    device : bool
        Whether the device takes the piece; else the CPU does.
    """

    evict: bool
    share: float
    device: bool


RESPONSES: dict[Pressure, Response] = {
    "low": Response(evict=False, share=1.0, device=True),
    "medium": Response(evict=False, share=0.5, device=True),
    "high": Response(evict=True, share=0.25, device=True),
    "critical": Response(evict=True, share=0.25, device=False),
}


def pressure(engine: ComputeEngine) -> Pressure:
    """Name the pressure on an engine's memory: what new work may not take, over what its pool may hold now.

    The limit falls with the budget's share that `placement.MODES` allows, so that pressure of the whole system counts
    too.
    """
    return _level(engine, room(engine))


def room(engine: ComputeEngine) -> int:
    """Bytes that new work may take on the engine's device, idle blocks evicted for it.

    What others have on the device, where torch counts it, leaves less of the device, not of the pool's budget.
    """
    pool = engine.pool
    index, kind = pool.device.index or 0, KINDS[pool.device.type]
    allocated = kind.allocated_memory(index)
    if allocated is None:
        return pool.room_bytes
    others, loans = max(0, allocated - pool.reserved_bytes), pool.limit_bytes - pool.room_bytes
    return max(0, min(pool.room_bytes, kind.total_memory(index) - others - loans))


def _level(engine: ComputeEngine, free: int) -> Pressure:
    limit = engine.pool.limit_bytes
    return pressure_level(limit - free, limit)


def cpu_of(engine: ComputeEngine) -> ComputeEngine:
    """The CPU's shared engine of the same precision and seed; `engine` itself where it is on the CPU."""
    if engine.device.type == "cpu":
        return engine
    return shared_engine("cpu", str(engine.dtype).removeprefix("torch."), seed=engine.seed)


def in_pieces[T](
    engine: ComputeEngine, count: int, bytes_each: int, work: Callable[[ComputeEngine, int, int], T]
) -> list[T]:
    """Do a piece of work in as few parts as the memory allows.

    Before each part the level of pressure decides (`RESPONSES`), and no part takes more than the device's largest
    tensor. A part for which there is no memory after all is done again in halves, down to one item, and then on the
    CPU.

    Parameters
    ----------
    engine : ComputeEngine
        Where to work.
    count : int
        Number of items, for example scenarios; 0 or more.
    bytes_each : int
        Memory that one item takes while it is worked on, temporary tensors included; at least 1.
    work : callable
        ``work(engine, first, last)`` does items ``first <= i < last`` on the engine that it is given, and returns
        what may stay in memory until the end. Must be able to start over.

    Returns
    -------
    list
        What `work` returned, in the order of the items; empty without items.

    Raises
    ------
    InputError
        If `count` is negative, or `bytes_each` not positive.
    OutOfDeviceMemory
        If not even the CPU has room for one item.
    """
    if count < 0:
        raise InputError(f"`count` must be at least 0 items, was {count}")
    if bytes_each < 1:
        raise InputError(f"`bytes_each` must be at least 1 byte, was {bytes_each}")
    parts: list[T] = []
    first, most = 0, count
    while first < count:
        free = room(engine)
        response = RESPONSES[_level(engine, free)]
        if response.evict:
            engine.pool.evict()
        if not response.device and engine.device.type != "cpu":
            engine = cpu_of(engine)
            free = room(engine)
        largest = KINDS[engine.device.type].max_tensor_bytes or free
        size = max(1, min(most, count - first, min(int(free * response.share), largest) // bytes_each))
        try:
            parts.append(work(engine, first, first + size))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            engine.pool.evict()
            if size > 1:
                most = size // 2
            elif engine.device.type != "cpu":
                engine, most = cpu_of(engine), count
            else:
                raise
        else:
            first += size
    return parts
