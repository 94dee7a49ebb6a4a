"""Sweeps on a Ray cluster of two nodes that have no code of the user's, and of which one dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import nautilus_metal
from nautilus_metal.cli import sweep_ray
from nautilus_metal.cli.main import main
from nautilus_metal.cli.sweep_grid import Run, read_grid
from nautilus_metal.cli.sweep_run import do, keep, outcome_of
from nautilus_metal.errors import InputError

STUDY = """
import os, time
from pathlib import Path

import nautilus_metal
from helpers_of_a_study import twice

def run(speed, marker, out):
    print("speed", speed)
    if os.environ["PLACE"] == "second":
        Path(marker).touch()
        time.sleep(600)
    while not Path(marker).exists():
        time.sleep(0.05)
    if speed == 3:
        raise ValueError("too fast")
    (out / "pages").mkdir()
    (out / "pages" / "note.txt").write_text("kept")
    return {"profit": twice(speed), "place": os.environ["PLACE"], "package": nautilus_metal.__file__}
"""
ROOT = Path(nautilus_metal.__file__).parents[1]


class Node:
    """A node of a cluster, started as an operator would, in a folder of its own."""

    def __init__(self, name: str, folder: Path, *words: str) -> None:
        outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
        self.process = subprocess.Popen(
            [*ray, "--num-cpus=1", "--num-gpus=0", "--node-ip-address=127.0.0.1", "--disable-usage-stats", *words],
            cwd=folder, env=outside | {"PLACE": name}, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return
        self.kill()
        raise RuntimeError("".join(said))

    def kill(self) -> None:
        """Kill it with all its processes, as a machine that loses its power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def cluster(monkeypatch, free_port):
    """Yield the address of a cluster that asks for a token, and its second node."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-a-test-0123456789abcdef0123456789abcdef")
    address = f"127.0.0.1:{free_port}"
    folder, nodes = Path(tempfile.mkdtemp(prefix="ray")), []  # the names of its sockets must be short
    try:
        head = ["--head", f"--port={free_port}", "--include-dashboard=false", f"--temp-dir={folder}"]
        nodes.append(Node("first", folder, *head))
        nodes.append(Node("second", folder, f"--address={address}"))
        yield address, nodes[1]
    finally:
        for node in reversed(nodes):
            if node.process.poll() is None:
                node.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def study(tmp_path, monkeypatch):
    folder = tmp_path / "study"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    Path("study_of_a_cluster.py").write_text(STUDY)
    Path("helpers_of_a_study.py").write_text("def twice(number):\n    return 2.0 * number\n")
    marker = tmp_path / "second_has_begun"
    Path("grid.toml").write_text(
        f'function = "study_of_a_cluster:run"\n[fixed]\nmarker = "{marker}"\n[grid]\nspeed = [1, 2, 3]\n'
    )
    return marker


@pytest.mark.slow
def test_a_sweep_joins_a_cluster_and_outlives_a_node(study, cluster, capsys):
    address, second = cluster
    command = [sys.executable, "-m", "nautilus_metal.cli", "sweep", "grid.toml", "--address", address]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    driver = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": paths}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    end = time.monotonic() + 120
    while not study.exists() and driver.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    second.kill()
    _, errors = driver.communicate(timeout=120)
    assert study.exists(), errors
    assert driver.returncode == 1
    assert "[3/3]" in errors

    grid = read_grid(Path("grid.toml"))
    *good, bad = [outcome_of(run, grid.out) for run in grid.runs]
    assert [one["figures"]["profit"] for one in good] == [2.0, 4.0]
    assert {one["figures"]["place"] for one in good} == {"first"}
    assert not any(one["figures"]["package"].startswith(str(ROOT)) for one in good)  # it came with the sweep
    assert (grid.out / grid.runs[0].key / "pages" / "note.txt").read_text() == "kept"
    assert bad["error"] == "ValueError: too fast"
    log = grid.out / grid.runs[2].key / "log.txt"
    assert "study_of_a_cluster.py" in log.read_text()
    assert f"failed: marker={study} speed=3: ValueError: too fast ({log})" in errors

    Path("grid.toml").write_text(Path("grid.toml").read_text().replace("[1, 2, 3]", "[1, 2]"))
    assert main(["sweep", "grid.toml", "--address", address]) == 0  # all are done: nobody is asked
    assert "2 of 2 runs are done" in capsys.readouterr().err


def test_what_a_run_leaves_elsewhere_is_laid_down_with_its_outcome_last(study, tmp_path, monkeypatch):
    monkeypatch.setenv("PLACE", "first")
    study.touch()
    run = Run("study_of_a_cluster:run", {"speed": 1, "marker": str(study)})
    outcome, files = do(run, None)
    assert sorted(files) == ["log.txt", "pages/note.txt", "result.json"]
    laid = []
    monkeypatch.setattr("nautilus_metal.cli.sweep_run._write", lambda path, content: laid.append(path.name))
    keep(run, tmp_path, files)
    assert laid[-1] == "result.json"
    monkeypatch.undo()
    keep(run, tmp_path, files)
    assert outcome_of(run, tmp_path) == json.loads(json.dumps(outcome))


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ConnectionError("no answer"), "no Ray cluster at 10.0.0.1:6379 that lets this process in: no answer"),
        (RuntimeError("Version mismatch:\nIt has 2.40"), "cannot be joined: Version mismatch: It has 2.40"),
        (ValueError("Package size (700 MiB) exceeds the maximum"), "cannot be joined: Package size"),
    ],
)
def test_a_cluster_that_refuses_is_one_line(study, monkeypatch, capsys, raised, message):
    def refuse(**_):
        raise raised

    monkeypatch.setattr("ray.init", refuse)
    assert main(["sweep", "grid.toml", "--address", "10.0.0.1:6379"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_gpus_that_no_machine_has():
    machines = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}}, {"Alive": False, "Resources": {"GPU": 4.0}}]
    sweep_ray._check_machines(machines, "a:1", 1.0)
    with pytest.raises(InputError, match=r"`gpus` must be at most the 1 that Ray finds on any machine of .* was 2"):
        sweep_ray._check_machines(machines, "a:1", 2.0)
    with pytest.raises(InputError, match=r"`gpus` must be at most the 0 that Ray finds here, was 0\.5"):
        sweep_ray._check_machines([], None, 0.5)


@pytest.mark.parametrize("share", ["-1", "1.5", "nan"])
def test_shares_of_a_gpu_that_nobody_can_have(study, capsys, share):
    assert main(["sweep", "grid.toml", f"--gpus={share}"]) == 2
    assert "`gpus` must be a share from 0 to 1, or a whole number, was" in capsys.readouterr().err


def test_what_goes_to_a_cluster(study):
    shipped = sweep_ray._shipped("study_of_a_cluster:run", Path("out/sweep_grid"))
    assert shipped["working_dir"] == str(Path.cwd())
    assert "/out/sweep_grid/" in shipped["excludes"]
    with pytest.raises(InputError, match=r"backtests/portfolio_risk.py is in .*: start it there"):
        sweep_ray._shipped("portfolio_risk", Path("out"))
