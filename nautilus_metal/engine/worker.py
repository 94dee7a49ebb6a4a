"""One thread beside the one that runs the system: jobs in order, each of which can be given up or left behind."""

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from nautilus_metal.engine.cancel import CancelToken, cancellable, checkpoint
from nautilus_metal.errors import Cancelled


@dataclass(eq=False)
class Job:
    """A piece of work on a `Worker`.

    Attributes
    ----------
    work : callable
        Runs on the worker's thread, under `token`. An error of its own must be part of what it returns.
    done : callable
        ``done(value)``, called on the worker's thread after the work, unless it was cancelled.
    token : CancelToken
        Gives the job up, whether it waits or runs.
    started : float or None
        ``time.monotonic()`` at its start.
    ended : bool
        Whether it has left its thread, done or given up.
    """

    work: Callable[[], Any]
    done: Callable[[Any], None]
    token: CancelToken = field(default_factory=CancelToken)
    started: float | None = None
    ended: bool = False

    @property
    def running_for(self) -> float:
        """Seconds since its start; 0.0 while it waits."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    def run(self) -> None:
        """Do the work, unless it was cancelled."""
        self.started = time.monotonic()
        try:
            with cancellable(self.token):
                checkpoint()
                value = self.work()
        except Cancelled:
            return
        finally:
            self.ended = True
        if not self.token.cancelled:
            self.done(value)


class Worker:
    """Runs jobs one after the other on a thread of its own, which starts with the first job.

    The thread leaves one core to the thread that submits. A job that never ends cannot be killed: `replace` leaves
    its thread behind and goes on with a new one.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._current: Job | None = None

    def submit(self, job: Job) -> None:
        """Queue a job; to be called from one thread."""
        self._jobs.put(job)
        if self._thread is None:
            self._start()

    def replace(self, job: Job) -> None:
        """Leave the thread behind that hangs in `job`, and go on with the next job on a new one."""
        job.token.cancel()
        if self._current is job:
            self._current = None
            self._start()

    def close(self, timeout: float) -> bool:
        """Give up every job and end the thread.

        Parameters
        ----------
        timeout : float
            Seconds to wait for the running job to come to a kernel boundary.

        Returns
        -------
        bool
            Whether the thread has ended.
        """
        thread, self._thread = self._thread, None
        jobs, self._jobs = self._jobs, queue.SimpleQueue()
        if thread is None:
            return True
        while not jobs.empty():
            job = jobs.get()
            if job is not None:
                job.token.cancel()
        current, self._current = self._current, None
        if current is not None:
            current.token.cancel()
        jobs.put(None)
        thread.join(timeout)
        return not thread.is_alive()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, args=(self._jobs,), name=self._name, daemon=True)
        self._thread.start()

    def _run(self, jobs: "queue.SimpleQueue[Job | None]") -> None:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
        me = threading.current_thread()
        while (job := jobs.get()) is not None:
            self._current = job
            job.run()
            if self._thread is not me:
                return  # replaced or closed while the job ran
            self._current = None
