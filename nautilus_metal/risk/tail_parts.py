"""The tail of a sample that is too large for one piece of work: kept on the host while the pieces go by."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.errors import OutOfDeviceMemory

_WORD = 8  # bytes of a number on the host


def check_tail(engine: ComputeEngine, count: int, levels: Sequence[float], rows: int) -> None:
    """Refuse a sample whose tail alone, of `rows` numbers a scenario, is more than the host may hold.

    Raises
    ------
    OutOfDeviceMemory
        Naming both amounts.
    """
    needed, limit = _WORD * rows * count * (1 - min(levels)), cpu_of(engine).pool.limit_bytes
    if needed > limit:
        raise OutOfDeviceMemory(
            f"the tail of {count:,} scenarios takes {needed / MIB:,.0f} MB, the host may hold {limit / MIB:,.0f} MB"
        )


class TailParts:
    """The largest losses of the pieces seen so far, and the columns of other arrays that belong to them.

    Parameters
    ----------
    size : int
        How many losses to keep.
    first : int
        How many of the first losses to keep as well, in their order.
    """

    def __init__(self, size: int, first: int) -> None:
        self._size, self._first = size, first
        self.losses = torch.zeros(0, dtype=torch.float64)
        self.columns: tuple[Tensor, ...] = ()
        self.sample = torch.zeros(0, dtype=torch.float64)

    def take(self, losses: Tensor, columns: tuple[Tensor, ...]) -> None:
        """Take a piece in.

        Parameters
        ----------
        losses : Tensor
            Shape (scenarios,).
        columns : tuple of Tensor
            Each of shape (rows, scenarios); the same number of them every time.
        """
        missing = self._first - len(self.sample)
        if missing > 0:
            self.sample = torch.cat([self.sample, losses[:missing].cpu().double()])
        values, where = torch.topk(losses, min(self._size, len(losses)), sorted=True)
        if len(self.losses) == self._size:  # only what is larger than the least one kept can matter
            count = int((values > self.losses[-1]).sum())
            values, where = values[:count], where[:count]
        fresh = tuple(column.index_select(1, where).cpu().double() for column in columns)
        pool = torch.cat([self.losses, values.cpu().double()])
        self.losses, order = torch.topk(pool, min(self._size, len(pool)), sorted=True)
        before = self.columns or tuple(column[:, :0] for column in fresh)
        self.columns = tuple(torch.cat(pair, dim=1)[:, order] for pair in zip(before, fresh, strict=True))
