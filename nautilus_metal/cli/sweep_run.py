"""The runs of a sweep on Ray: each in a process of its own, its outcome kept in a folder of its own."""

import contextlib
import importlib
import inspect
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nautilus_metal.cli.backtest import load
from nautilus_metal.cli.sweep_grid import Run, flat, options_of
from nautilus_metal.errors import InputError

RESULT, LOG, SUMMARY = "result.json", "log.txt", "summary.json"
Outcome = dict[str, Any]


def outcome_of(run: Run, out: Path) -> Outcome | None:
    """Return the outcome of a run that has been made before, None where there is none."""
    try:
        outcome: Outcome = json.loads((out / run.key / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return outcome


def do(run: Run, out: str) -> Outcome:
    """Make one run, and keep its outcome once it is whole.

    Parameters
    ----------
    run : Run
        What to do.
    out : str
        The sweep's folder; what the run prints goes to a log in the run's own.

    Returns
    -------
    dict
        ``parameters``, ``seconds``, and either ``figures`` or ``error``.
    """
    folder = Path(out).resolve() / run.key
    folder.mkdir(parents=True, exist_ok=True)
    outcome: Outcome = {"target": run.target, "parameters": dict(run.parameters)}
    started = time.perf_counter()
    with (folder / LOG).open("w", encoding="utf-8") as log:
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                outcome["figures"] = dict(flat(_figures(run, folder)))
        except Exception as error:  # of the user's own code: a row of the table, and the others go on
            traceback.print_exc(file=log)
            outcome["error"] = f"{type(error).__name__}: {error}"
    outcome["seconds"] = time.perf_counter() - started
    fresh = folder / f"{RESULT}.new"
    fresh.write_text(json.dumps(outcome, indent=2, default=float), encoding="utf-8")
    fresh.replace(folder / RESULT)
    return outcome


def _figures(run: Run, folder: Path) -> Mapping[str, Any]:
    if ":" not in run.target:
        code = load(run.target)(options_of(run, folder))
        if code:
            raise RuntimeError(f"the backtest ended with exit code {code}")
        return json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    found = function_of(run.target)
    takes_out = "out" in inspect.signature(found).parameters
    figures = found(**run.parameters, **({"out": folder} if takes_out else {}))
    if not isinstance(figures, Mapping):
        raise TypeError(f"{run.target} must return a mapping of figures by name, returned {type(figures).__name__}")
    return figures


def function_of(target: str) -> Any:
    """Import a user's function, from the current folder or wherever Python finds it.

    Raises
    ------
    InputError
        If there is none.
    """
    module, name = target.split(":")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"`function` {target} is not to be had: {error}") from None


def on_ray(
    runs: Sequence[Run], out: Path, address: str | None, processes: int | None, gpus: float
) -> Iterator[tuple[Run, Outcome]]:
    """Make runs side by side and yield each as it ends.

    Parameters
    ----------
    runs : sequence of Run
        What to do.
    out : Path
        The folder of the outcomes; on a cluster one that all machines share.
    address : str or None
        Of a cluster that runs, "auto" for this machine's; None starts Ray here for the sweep.
    processes : int or None
        Most runs at a time here; a run for each core by default.
    gpus : float
        Share of a GPU that each run takes; 0 on the CPU.

    Raises
    ------
    InputError
        If Ray is not installed, or there is no cluster at `address`.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("sweeps need Ray: pip install 'nautilus_metal[sweep]'") from None
    here = os.getcwd()
    environment: dict[str, Any] = {"env_vars": {"PYTHONPATH": os.pathsep.join([here, *_python_path()])}}
    if address is not None:
        environment = {"working_dir": here}
    try:
        ray.init(
            address=address or "local",
            num_cpus=processes if address is None else None,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=environment,
        )
    except ConnectionError as error:
        raise InputError(f"there is no Ray cluster at {address}: {error}") from None
    try:
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(do)
        left = {task.remote(run, str(out)): run for run in runs}
        while left:
            ready, _ = ray.wait(list(left))
            for reference in ready:
                run = left.pop(reference)
                try:
                    yield run, ray.get(reference)
                except ray.exceptions.RayError as error:  # the process died, twice
                    first = str(error).strip().splitlines()[0]
                    yield run, {"parameters": dict(run.parameters), "error": f"the process was lost: {first}"}
    finally:
        ray.shutdown()


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
