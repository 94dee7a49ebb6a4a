"""The runs of a sweep on Ray: on this machine, or on a cluster whose machines get the code from here."""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nautilus_metal
from nautilus_metal.cli.backtest import FOLDER, backtests
from nautilus_metal.cli.sweep_grid import Run
from nautilus_metal.cli.sweep_run import Outcome, do, keep
from nautilus_metal.errors import InputError


def on_ray(
    runs: Sequence[Run], out: Path, address: str | None, processes: int | None, gpus: float
) -> Iterator[tuple[Run, Outcome]]:
    """Make runs side by side and yield each as it ends, its outcome kept.

    Parameters
    ----------
    runs : sequence of Run
        What to do.
    out : Path
        The folder of the outcomes, on this machine.
    address : str or None
        Of a cluster that runs, "auto" for this machine's; None starts Ray here for the sweep. A cluster's machines
        get the current folder, but for `out`, and this package; what those import must be installed there.
    processes : int or None
        Most runs at a time here; a run for each core by default.
    gpus : float
        Share of a GPU that each run takes; 0 on the CPU.

    Raises
    ------
    InputError
        If Ray is not installed, there is no cluster at `address`, it does not take the code, or has no such GPUs.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("sweeps need Ray: pip install 'nautilus_metal[sweep]'") from None
    _begin(ray, runs[0].target, out, address, processes)
    try:
        _check_machines(ray.nodes(), address, gpus)
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=1)(do)
        left = {task.remote(run, str(out) if address is None else None): run for run in runs}
        while left:
            ready, _ = ray.wait(list(left))
            for reference in ready:
                run = left.pop(reference)
                try:
                    outcome, files = ray.get(reference)
                except ray.exceptions.RayError as error:  # twice, as it is tried again once
                    yield run, {"parameters": dict(run.parameters), "error": f"the process was lost: {_words(error)}"}
                else:
                    keep(run, out, files)
                    yield run, outcome
    finally:
        ray.shutdown()


def _begin(ray: Any, target: str, out: Path, address: str | None, processes: int | None) -> None:
    """Start Ray here, or join a cluster."""
    if address is None:
        given: dict[str, Any] = {"num_cpus": processes, "include_dashboard": False, "runtime_env": _paths()}
    else:
        given = {"runtime_env": _shipped(target, out)}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **given)
    except (ConnectionError, ImportError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(_refusal(address, error)) from None


def _paths() -> dict[str, Any]:
    """Let processes of this machine find modules where this one does."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {"env_vars": {"PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, given)])}}


def _shipped(target: str, out: Path) -> dict[str, Any]:
    """Have the current folder and this package unpacked on each machine, so that all run the same code.

    Raises
    ------
    InputError
        If a backtest is asked for that lies elsewhere.
    """
    here = Path.cwd()
    home = here if ":" in target else backtests().get(target, here)
    if home != here:
        raise InputError(f"a cluster gets the current folder, and {FOLDER}/{target}.py is in {home}: start it there")
    results = out.resolve()
    own = [f"/{results.relative_to(here).as_posix()}/"] if results.is_relative_to(here) else []
    return {
        "working_dir": str(here),
        "py_modules": [str(Path(nautilus_metal.__file__).parent)],
        "excludes": [*own, ".venv*/"],
    }


def _refusal(address: str | None, error: Exception) -> str:
    if address is None:
        return f"Ray does not start here: {_words(error)}"
    if isinstance(error, ConnectionError):
        return (
            f"there is no Ray cluster at {address} that lets this process in: {_words(error)} (this machine must be "
            "one of its own; one that asks for a token wants RAY_AUTH_MODE=token here)"
        )
    return f"the Ray cluster at {address} cannot be joined: {_words(error)}"


def _check_machines(machines: Sequence[dict[str, Any]], address: str | None, gpus: float) -> None:
    """Runs that no machine can take would wait for ever."""
    most = max((one["Resources"].get("GPU", 0.0) for one in machines if one["Alive"]), default=0.0)
    if gpus > most:
        where = "here" if address is None else f"on any machine of the cluster at {address}"
        raise InputError(f"`gpus` must be at most the {most:g} that Ray finds {where}, was {gpus:g}")


def _words(error: Exception) -> str:
    """The first lines of what Ray says, which puts the reason in the second where the first only names a step."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])
