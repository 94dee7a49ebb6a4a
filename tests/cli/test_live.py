"""`nautilus-metal live`: wrong usage, checked files, the demonstration as its users run it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nautilus_metal.cli import main
from nautilus_metal.live import node_config, read_settings

ROOT = Path(__file__).resolve().parents[2]
DEMO, SOAK = ROOT / "backtests" / "live_replay.toml", ROOT / "backtests" / "live_soak.toml"


def usage(capsys, *arguments: str) -> str:
    try:
        code = main(["live", *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "`live` must be given CONFIG, or --replay, or --soak"),
        (["a.toml", "--replay"], "`live` must be given CONFIG, or --replay, or --soak"),
        (["nowhere.toml"], "nowhere.toml cannot be read: No such file"),
        (["--replay", "--speed", "fast"], "must be a number or max, was fast"),
        (["--replay", "--speed", "-1", "--check"], "data_clients.REPLAY.config.speed: must be above 0 and finite"),
        (["--replay", "--seconds", "0"], "`--seconds` must be above 0, was 0.0"),
        (["--soak", "--ticks", "0"], "`--ticks` must be at least 1, was 0"),
    ],
)
def test_wrong_usage_is_said(capsys, arguments, words):
    assert words in usage(capsys, *arguments)


def test_each_wrong_key_of_a_file_is_named(capsys, tmp_path):
    settings = read_settings(DEMO)
    settings["metal"]["risk"]["levels"] = [0.99, "high"]
    settings["data_clients"]["REPLAY"]["config"]["sped"] = 2
    path = tmp_path / "node.json"
    path.write_text(json.dumps(settings))
    error = usage(capsys, str(path))
    assert f"{path} has wrong keys" in error
    assert "metal.risk.levels[1]: must be float, was 'high'" in error
    assert "data_clients.REPLAY.config.sped: unknown key, did you mean speed?" in error


@pytest.mark.parametrize("path", [DEMO, SOAK], ids=["replay", "soak"])
def test_our_own_files_are_right_as_toml_and_as_json(capsys, tmp_path, path):
    assert main(["live", str(path), "--check"]) == 0
    copy = tmp_path / "node.json"
    copy.write_text(json.dumps(read_settings(path)))
    assert main(["live", str(copy), "--check"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{path} is right", f"{copy} is right"]
    assert node_config(read_settings(copy)) == node_config(read_settings(path))


def test_a_speed_needs_a_replay(capsys, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('trader_id = "A-001"')
    assert "`--speed` must go with a data client REPLAY" in usage(capsys, str(path), "--speed", "2")


def start(*arguments: str, cwd: Path = ROOT) -> subprocess.Popen:
    """Start the command in a process of its own: logging is set up once in a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "nautilus_metal.cli", "live", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.slow
def test_the_demonstration_prints_its_risk_and_stops_by_itself(tmp_path):
    process = start("--replay", "--speed", "max", cwd=tmp_path)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert re.search(r"RiskActor  95% VaR [\d,]+ \+- [\d,]+ ES [\d,]+  99% VaR .* USD  \d held  age ", printed)
    assert re.search(r"MACDTrend-000  (buys|sells) \d+ \w+\.SIM at ", printed)
    reports, fills = re.search(r"Stopped\. ([\d,]+) risk reports, .*?(\d+) fills", printed).groups()
    assert int(reports.replace(",", "")) > 2  # at this speed one tick stands for many requests
    assert int(fills) > 20
    assert "Traceback" not in errors


@pytest.mark.slow
def test_ctrl_c_stops_the_demonstration_clean():
    process = start("--replay")
    try:
        while "RiskActor" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        printed, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert printed.splitlines()[-1].startswith("Stopped. ")
    assert "Traceback" not in errors
    assert time.monotonic() - began < 15.0


@pytest.mark.slow
def test_a_small_soak_prints_its_table(tmp_path):
    process = start("--soak", "--ticks", "20000", cwd=tmp_path)
    printed, errors = process.communicate(timeout=300)
    assert process.returncode in (0, 1), errors  # latencies of a busy machine may grow
    assert re.search(r"^ +start +middle +end$", printed, re.MULTILINE)
    assert re.search(r"^20,000 ticks, [\d,]+ risk reports and [1-9][\d,]* fills in ", printed, re.MULTILINE)
    handles = re.search(r"^open handles +(\d+) +(\d+) +(\d+)$", printed, re.MULTILINE)
    assert int(handles[3]) > 0
