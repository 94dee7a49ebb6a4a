"""Several processes that share one piece of work: each takes a range of its items, and all learn the outcome.

The processes are started by `torchrun`, on one machine or on several. What they exchange is small (the tail of a
sample, sums) and lies on the host, so that gloo carries it whatever device each of them computes on.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import psutil
import torch
from torch import Tensor

from nautilus_metal.errors import InputError, TeamError

TIMEOUT = 60.0  # seconds that a member waits for the others
_INTERFACE = "GLOO_SOCKET_IFNAME"
_ELSEWHERE = "192.0.2.1"  # on no network (RFC 5737): the way there is the way out


class Team:
    """The members of a run, as one of them sees it; a run of a single process by default.

    Parameters
    ----------
    rank : int, default 0
        Of this member.
    size : int, default 1
        Members.
    timeout : float, default 60.0
        Seconds to wait for the others in an exchange.
    """

    def __init__(self, rank: int = 0, size: int = 1, timeout: float = TIMEOUT) -> None:
        self.rank, self.size, self.timeout = rank, size, timeout

    def share(self, count: int) -> range:
        """Return this member's range of `count` items: those of all members follow on each other, evenly."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def gather(self, numbers: Tensor) -> list[Tensor]:
        """Exchange one-dimensional tensors of one type, whose lengths may differ; in the order of the ranks.

        They come back on the host, but for a team of one.

        Raises
        ------
        TeamError
            If a member has ended or gives no answer in time: then no member has an outcome.
        """
        if self.size == 1:
            return [numbers]
        with self._together() as group:
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
            group.all_gather(lengths, torch.tensor([len(numbers)]))
            most = int(max(lengths))
            rows = [torch.empty(most, dtype=numbers.dtype) for _ in range(self.size)]
            group.all_gather(rows, torch.nn.functional.pad(numbers.cpu(), (0, most - len(numbers))))
        return [row[: int(length)] for row, length in zip(rows, lengths, strict=True)]

    def hear(self, word: str) -> list[str]:
        """Exchange a word, in the order of the ranks; errors as of `gather`."""
        if self.size == 1:
            return [word]
        codes = self.gather(torch.tensor(list(word.encode()), dtype=torch.float64))
        return [bytes(map(int, code)).decode() for code in codes]

    def total(self, numbers: Tensor) -> Tensor:
        """Add float64 tensors of one shape on the host, the same sum for every member; errors as of `gather`."""
        if self.size == 1:
            return numbers
        with self._together() as group:
            added = numbers.contiguous().clone()
            group.all_reduce(added)
        return added

    @contextmanager
    def _together(self) -> Iterator[Any]:
        import torch.distributed as group

        try:
            # names who is missing, which the collectives themselves do not
            group.monitored_barrier(timeout=timedelta(seconds=self.timeout), wait_all_ranks=True)
            yield group
        except RuntimeError as error:
            first = str(error).strip().splitlines()[0]
            raise TeamError(
                f"member {self.rank} of {self.size} has lost the others, so there is no figure (waited up to "
                f"{self.timeout:g} s): {first}"
            ) from error


ALONE = Team()


def local_rank() -> int:
    """Return the place of this process among those of its machine, as torchrun says; 0 without it."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[Team]:
    """Join the processes that torchrun has started with this one; a team of one without torchrun.

    Parameters
    ----------
    timeout : float, default 60.0
        Seconds to wait for the others, at the start and in every exchange; above 0.

    Yields
    ------
    Team
        This process' view of all.

    Raises
    ------
    InputError
        If `timeout` is not positive.
    TeamError
        If not all processes come together in time.
    """
    if not 0 < timeout < float("inf"):
        raise InputError(f"`timeout` must be above 0 seconds, was {timeout}")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    import torch.distributed as group

    _meet(group, timeout)
    try:
        yield Team(group.get_rank(), group.get_world_size(), timeout)
    finally:
        group.destroy_process_group()


def _meet(group: Any, timeout: float) -> None:
    """Come together with the others; gloo waits for ever for one that has died on its way, so a thread does it."""
    failed: list[Exception] = []

    def work() -> None:
        try:
            with _reachable():
                group.init_process_group("gloo", timeout=timedelta(seconds=timeout))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="team", daemon=True)
    thread.start()
    thread.join(timeout + 1.0)  # the second lets an error with more words come first
    if thread.is_alive() or failed:
        reason = failed[0] if failed else TimeoutError("another one has died or cannot be reached")
        raise TeamError(f"the processes did not come together within {timeout:g} s: {reason}") from reason


@contextmanager
def _reachable() -> Iterator[None]:
    """Have gloo listen where other machines reach this one: it takes the host's name, often an address of its own."""
    name = _interface(os.environ.get("MASTER_ADDR", ""))
    if name is None or _INTERFACE in os.environ:
        yield
        return
    os.environ[_INTERFACE] = name
    try:
        yield
    finally:
        del os.environ[_INTERFACE]


def _interface(first: str) -> str | None:
    """Name the network interface that leads to the first member's machine, or on that one out of it.

    None where all members are on one machine, or nothing leads out of it.
    """
    if os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE")) == os.environ.get("WORLD_SIZE"):
        return None
    for target in (first, _ELSEWHERE):
        own = _own_address(target)
        if own is not None and not own.is_loopback:
            for name, addresses in psutil.net_if_addrs().items():
                if str(own) in {address.address.partition("%")[0] for address in addresses}:
                    return name
    return None


def _own_address(target: str) -> IPv4Address | IPv6Address | None:
    """The address of this machine from which packets to another would leave; none is sent."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(place)
            return ip_address(probe.getsockname()[0].partition("%")[0])
    except OSError:
        return None
