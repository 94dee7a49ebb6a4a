"""Actors in a live node of v2: work beside the event loop, in processes of their own."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nautilus_metal.cli import main
from nautilus_metal.host import BarType
from nautilus_metal.host.backtest import make_bars
from nautilus_metal.host.catalog import read_streamed, write_prices
from nautilus_metal.messages import RiskReport
from tests.small_system import equity, walk
from tests.v2.replay_market import BARS, FIRST, NAMES, STEP, settings

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
    assert seen["asked"] >= 12, "a report for each bar, and one for the fill, or a later one that stands for several"
    assert seen["var"] > 0, "the requested history did not reach the RiskActor"
    assert seen["hedges"] == ["AAA.XNYS"]


@pytest.mark.slow
def test_the_story_of_a_node_from_its_first_order_to_a_restart(tmp_path):
    done = child(str(tmp_path), module="tests.v2.live_story_child")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["in_time"] == [[True], [True]]
    assert seen["fills"] == [1_000.0, 100_000.0]
    assert seen["breaches"] == ["breach"]
    assert len(seen["denied"]) == 1
    assert seen["denied"][0].startswith("RISK_GATE: 99% VaR would be ")
    assert seen["states"] == ["REDUCING"]
    assert seen["engine"] == ["degraded", "restored"]
    assert seen["devices"] == ["cuda:0", "cuda:0", "cpu", "cuda:0"], "first, last and all devices of the reports"
    assert (seen["stale"], seen["open"], seen["threads"]) == (0, 1, 0)
    assert set(seen["worked"]) <= {"nautilus-metal", "nautilus-metal-probe"}
    assert (seen["uncovered"], seen["first"]) == (0, "clear"), "the second node does not know what the first one did"
    assert seen["var"] > 20_000.0


def command(path: Path, *arguments: str, **more) -> subprocess.Popen:
    code = f"import sys; from nautilus_metal.cli import main; sys.exit(main(['live', {str(path)!r}, *sys.argv[1:]]))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **pipes | more)


@pytest.fixture
def file(tmp_path):
    def write(speed="max", replay=(), **more) -> Path:
        made = settings(**more)
        made["data_clients"]["REPLAY"]["config"] |= {"speed": speed, **dict(replay)}
        path = tmp_path / "node.json"
        path.write_text(json.dumps(made))
        return path

    return write


def test_the_command_runs_a_file_to_the_end_of_its_replay(file):
    done = command(file())
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    lines = out.splitlines()
    assert re.fullmatch(r"TEST-001 runs from .*node.json; Ctrl-C stops it", lines[0])
    assert any("MACDTrend-000  buys" in line for line in lines)
    last = re.fullmatch(r"Stopped. ([\d,]+) risk reports, (\d+) fills", lines[-1])
    assert last, lines[-1]
    assert int(last[2]) > 10, "the sandbox fills little: look at its quotes"


def test_a_file_names_catalogs_for_history_and_a_stream_for_what_is_published(file, tmp_path):
    history, stream = tmp_path / "history", tmp_path / "stream"
    history.mkdir()
    ts = time.time_ns() - 10**10 + 10**8 * np.arange(-150, 0)
    earlier = []
    for seed, (name, kind) in enumerate(zip(NAMES, BARS, strict=True)):
        closes = [walk(seed, len(ts))] * 4
        earlier.append(make_bars(BarType.from_str(kind), equity(name), closes, np.ones(len(ts)), ts))
    write_prices(history, map(equity, NAMES), earlier)
    none, few = FIRST.isoformat(), (FIRST + 40 * STEP).isoformat()  # too few bars for a figure without history
    named = {"catalogs": [{"path": str(history)}], "streaming": {"catalog_path": str(stream)}}
    done = command(file(replay={"start": none, "end": few}, **named))
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    (run,) = (stream / "live").iterdir()
    reports = read_streamed(stream, "live", run.name, RiskReport)
    assert f"Stopped. {len(reports)} risk reports, " in out
    assert reports[-1].var(0.99) > 0.0
    assert not reports[-1].uncovered


def test_the_command_checks_a_file(file, capsys):
    assert main(["live", str(file()), "--check"]) == 0
    assert capsys.readouterr().out.strip().endswith("node.json is right")
    assert main(["live", str(file(trader="A-001", timeout_connection="soon")), "--check"]) == 2
    said = capsys.readouterr().err
    assert "trader: unknown key, did you mean trader_id?" in said
    assert "timeout_connection: must be float, was 'soon'" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_clean(file, number):
    done = command(file(speed=1.0))
    lines = [done.stdout.readline(), done.stdout.readline()]
    assert "held" in lines[1], done.communicate(timeout=120)
    done.send_signal(number)
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    assert out.splitlines()[-1].startswith("Stopped. ")


def test_what_a_strategy_raises_is_shown_and_fails_the_command(file):
    path = "tests.v2.replay_market:Broken"
    broken = {"strategy_path": path, "config_path": f"{path}Config", "config": {"bar_type": BARS[0]}}
    done = command(file(strategies=[broken]))
    _, err = done.communicate(timeout=120)
    assert done.returncode == 1
    assert "ZeroDivisionError: broken on purpose" in err
    assert "raised in Broken.on_bar" in err
