"""Actors in a live node of v2: work beside the event loop, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def child(*arguments: str, module: str = "tests.v2.live_child") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_the_worker_touches_nothing_of_v2():
    done = child()
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["worked"] == ["nautilus-metal"], "risk is not computed beside the event loop"
    assert seen["heard"] == ["MainThread"]
    assert seen["reports"] >= 5


def test_a_worker_that_touched_an_actor_would_end_the_process():
    done = child("touch")
    assert done.returncode != 0, "v2's objects may be touched from other threads now: the test above shows nothing"
    assert "unsendable" in done.stderr


def test_a_failure_makes_a_live_run_fail():
    done = child("fail")
    assert done.returncode == 1
    assert "InputError: failed on purpose" in done.stderr
    assert "raised in" in done.stderr


def test_a_node_with_data_history_and_the_sandbox():
    done = child(module="tests.v2.live_market")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["bars"], seen["fills"], seen["quantity"]) == (12, [100.0], 100.0)
    assert seen["reports"] >= 12, "a report for each bar, and one for the fill"
    assert seen["var"] > 0, "the requested history did not reach the RiskActor"
    assert seen["hedges"] == ["AAA.XNYS"]
