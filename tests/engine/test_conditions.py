"""Heat and memory pressure: each parser on recorded output, and the worst sensor's word."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nautilus_metal.engine.hardware import Conditions, conditions, read_conditions
from nautilus_metal.engine.hardware.conditions import (
    SENSORS,
    parse_clock_reasons,
    parse_pmset,
    parse_psi,
    parse_thermal_pressure,
    parse_vm_pressure,
    parse_zone,
)

SAMPLES = json.loads((Path(__file__).parent / "data" / "apple_hardware_samples.json").read_text())["samples"]
CPU = torch.device("cpu")
# What the samples' words are in the levels of this package.
PMSET = {"nominal": "nominal", "throttled": "serious", "unknown": None}
ZONE = {
    "type": "x86_pkg_temp",
    "temp": "45000\n",
    "trip_point_0_type": "passive\n",
    "trip_point_0_temp": "80000\n",
    "trip_point_1_type": "critical\n",
    "trip_point_1_temp": "100000\n",
}


@pytest.mark.parametrize(
    ("output", "state"), [(s["output"], s["facts"]["state"]) for s in SAMPLES if "pmset" in s["command"]]
)
def test_pmset(output, state):
    assert parse_pmset(output) == PMSET[state]


def test_pmset_without_a_limit_below_100_is_nominal():
    text = "\tCPU_Scheduler_Limit \t= 100\n\tCPU_Available_CPUs \t= 12\n\tCPU_Speed_Limit \t= 100\n"
    assert parse_pmset(text) == "nominal"
    assert parse_pmset(None) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [(0, "nominal"), (1, "fair"), (2, "serious"), (3, "critical"), (4, "critical"), (5, None), (None, None)],
)
def test_the_notification_servers_thermal_pressure(state, expected):
    assert parse_thermal_pressure(state) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1\n", "normal"), ("2\n", "warning"), ("4\n", "critical"), ("3\n", None), ("", None), (None, None)],
)
def test_vm_pressure(text, expected):
    assert parse_vm_pressure(text) == expected


@pytest.mark.parametrize(
    ("some", "full", "expected"),
    [(0, 0, "normal"), (9.99, 0, "normal"), (10, 0, "warning"), (60, 19.9, "warning"), (60, 20, "critical")],
)
def test_pressure_stall_information(some, full, expected):
    rest = "avg60=0.00 avg300=0.00 total=1"
    assert parse_psi(f"some avg10={some:.2f} {rest}\nfull avg10={full:.2f} {rest}\n") == expected


@pytest.mark.parametrize("text", [None, "", "some avg60=1", "cpu"])
def test_no_pressure_stall_information(text):
    assert parse_psi(text) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "nominal"),
        ({"temp": "80000"}, "serious"),
        ({"temp": "100000"}, "critical"),
        ({"trip_point_1_type": "hot", "temp": "100001"}, "critical"),
        ({"temp": "90000", "trip_point_0_type": "active"}, "nominal"),
        ({"temp": "nan"}, None),
        ({"trip_point_1_temp": "-274000"}, "nominal"),
        ({"trip_point_0_type": "active", "trip_point_1_temp": "-274000"}, None),
    ],
)
def test_a_thermal_zone(changes, expected):
    assert parse_zone(ZONE | changes) == expected


def test_a_thermal_zone_without_files():
    assert parse_zone({}) is None
    assert parse_zone({"temp": "45000"}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0x0000000000000000\n", "nominal"),
        ("0x0000000000000004\n", "nominal"),  # the power cap is no heat
        ("0x0000000000000020\n", "serious"),
        ("0x0000000000000048\n", "critical"),
        ("[N/A]\n", None),
        ("No devices were found\n", None),
        (None, None),
    ],
)
def test_nvidias_clock_reasons(text, expected):
    assert parse_clock_reasons(text) == expected


def test_the_worst_sensor_counts_and_those_that_are_silent_or_fail_do_not(monkeypatch):
    said = {"notifyd": "fair", "pmset": "serious", "vm_pressure_level": "warning"}

    def answer(name: str) -> str | None:
        found = said.get(name)
        if isinstance(found, Exception):
            raise found
        return found

    rows = tuple(replace(sensor, ask=lambda _, name=sensor.name: answer(name)) for sensor in SENSORS)
    monkeypatch.setattr(conditions, "SENSORS", rows)
    monkeypatch.setattr(conditions.platform, "system", lambda: "Darwin")
    found = read_conditions(CPU)
    assert found == Conditions("serious", "warning", ("notifyd", "pmset", "vm_pressure_level"))
    assert str(found) == "heat serious, memory pressure warning"
    said["pmset"] = ZeroDivisionError()
    assert read_conditions(CPU) == Conditions("fair", "warning", ("notifyd", "vm_pressure_level"))
    said.clear()
    assert read_conditions(CPU) == Conditions(None, None, ())
    assert str(read_conditions(CPU)) == "heat unknown, memory pressure unknown"


@pytest.mark.parametrize("system", ["Darwin", "Linux", "Windows", "Plan9"])
@pytest.mark.parametrize("kind", ["cpu", "mps", "cuda"])
def test_no_sensor_ever_raises(monkeypatch, system, kind):
    monkeypatch.setattr(conditions.platform, "system", lambda: system)
    found = read_conditions(torch.device(kind))
    assert found.thermal in (None, *conditions.THERMAL)
    assert found.memory in (None, *conditions.PRESSURE)


def test_zones_are_read_from_their_files(monkeypatch, tmp_path):
    for number, temp in enumerate(("45000", "85000")):
        folder = tmp_path / f"thermal_zone{number}"
        folder.mkdir()
        for name, text in (ZONE | {"temp": temp}).items():
            (folder / name).write_text(text)
    monkeypatch.setattr(conditions, "Path", lambda _: tmp_path)
    assert conditions._zones(CPU) == "serious"
