"""What callbacks of this package raise under NautilusTrader 2.x, which logs an exception of a callback and goes on.

A callback that fails is recorded here and ends the run; ``BacktestEngine.run``, ``BacktestNode.run``,
``LiveNode.run`` and ``LiveNode.run_async`` raise what was recorded when they return, as the same calls do in 1.x.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from nautilus_trader.backtest import BacktestEngine, BacktestNode
from nautilus_trader.live import LiveNode

FAILURES: list[Exception] = []  # of the run that goes on: one node runs at a time in a process
BEFORE: list[Callable[[Any], None]] = []  # called with an engine or a node that is about to run


def guarded(callback: Callable[..., Any], place: str, owner: Any = None) -> Callable[..., Any]:
    """Return `callback` so that what it raises is recorded, and ends the run.

    Parameters
    ----------
    callback : callable
        Of this package.
    place : str
        How the failure calls it.
    owner : Actor, optional
        Who asks the system to shut down.
    """

    @wraps(callback)
    def call(*arguments: Any) -> Any:
        try:
            return callback(*arguments)
        except Exception as error:
            record(error, place, owner)
            raise

    return call


def record(error: Exception, place: str, owner: Any = None) -> None:
    """Record what a callback raised; once, however many callbacks it goes through."""
    if error in FAILURES:
        return
    error.add_note(f"raised in {place}")
    FAILURES.append(error)
    if owner is not None:
        owner.shutdown_system(f"{place} failed: {type(error).__name__}: {error}")


def raise_recorded() -> None:
    """Raise the first failure of the run that has ended, with notes of the others."""
    if not FAILURES:
        return
    first, *others = FAILURES
    FAILURES.clear()
    for other in others:
        first.add_note(f"and then {type(other).__name__}: {other} ({'; '.join(other.__notes__)})")
    raise first


def make_runs_fail() -> None:
    """Let the host's runs raise what was recorded."""
    for owner in (BacktestEngine, BacktestNode, LiveNode):
        if not hasattr(owner.run, "__wrapped__"):
            owner.run = _raising(owner.run)
    if not hasattr(LiveNode.run_async, "__wrapped__"):
        LiveNode.run_async = _raising_later(LiveNode.run_async)


def _begin(system: Any) -> None:
    FAILURES.clear()
    for prepare in BEFORE:
        prepare(system)


def _raising(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def call(system: Any, *arguments: Any, **settings: Any) -> Any:
        _begin(system)
        try:
            result = run(system, *arguments, **settings)
        except Exception as error:
            if FAILURES:  # the host's own word on it has lost the type
                FAILURES[0].__cause__ = error if error is not FAILURES[0] else None
                raise_recorded()
            raise
        raise_recorded()
        return result

    return call


def _raising_later(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    async def call(system: Any) -> None:
        _begin(system)
        await run(system)
        raise_recorded()

    return call
