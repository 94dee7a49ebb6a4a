"""The tail of a sample that is too large for one piece of work: kept while the pieces go by."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.blocks import MIB
from nautilus_metal.engine.governor import cpu_of
from nautilus_metal.engine.team import Team
from nautilus_metal.errors import OutOfDeviceMemory
from nautilus_metal.kernels.tail import largest

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
    in_place : bool, default False
        Keep the tail where the first piece lies, in its type; else on the host in float64.
    """

    def __init__(self, size: int, first: int, in_place: bool = False) -> None:
        self._size, self._first, self._in_place = size, first, in_place
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
        if self._in_place and not len(self.losses):
            self.losses = self.losses.to(losses)
        home = self.losses
        values, where = largest(losses, min(self._size, len(losses)))
        if len(home) == self._size:  # only what is larger than the least one kept can matter
            count = int((values > home[-1]).sum())
            values, where = values[:count], where[:count]
        fresh = tuple(column.index_select(1, where).to(home) for column in columns)
        pool = torch.cat([home, values.to(home)])
        self.losses, order = largest(pool, min(self._size, len(pool)))
        before = self.columns or tuple(column[:, :0] for column in fresh)
        self.columns = tuple(torch.cat(pair, dim=1)[:, order] for pair in zip(before, fresh, strict=True))

    def among(self, team: Team, weights: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """Find the tail of the losses of a whole team, and what this member's part of it weighs.

        Parameters
        ----------
        team : Team
            Whose members all call this.
        weights : Tensor
            Of the largest losses in descending order, shape (tail, figures).

        Returns
        -------
        tuple of Tensor or None
            The tail's losses, shape (tail,), on the host; the weights of the losses kept here, shape (kept, figures),
            zero for those that are not in it; the first losses of all. None where a member has kept too few of its
            own to know.
        """
        gathered = team.gather(self.losses)
        pool, before = torch.cat(gathered).to(self.losses), sum(map(len, gathered[: team.rank]))
        worst, order = largest(pool, min(len(weights), len(pool)))
        full = [kept for kept in gathered if len(kept) == self._size < len(weights)]
        if any(float(kept[-1]) > float(worst[-1]) for kept in full):
            return None
        own = (order >= before) & (order < before + len(self.losses))
        table = torch.zeros(len(self.losses), weights.shape[1]).to(self.losses)
        table[order[own] - before] = weights.to(table)[own]
        return worst.double().cpu(), table, torch.cat(team.gather(self.sample))


def with_worst(figures: Tensor) -> Tensor:
    """Weights of the tail's losses, shape (tail, figures), behind a column that has the worst loss alone."""
    first = torch.zeros_like(figures[:, :1])
    first[0] = 1.0
    return torch.cat([first, figures], dim=1)
