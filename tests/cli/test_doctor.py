"""`nautilus-metal doctor`: its page, its JSON, and what it says of broken or missing things."""

import json
import math

import pytest
import torch

from nautilus_metal import __version__
from nautilus_metal.cli import doctor_facts, main
from nautilus_metal.engine import ComputeEngine, placement_store
from nautilus_metal.engine.hardware import Conditions
from nautilus_metal.engine.placement_measure import SIZES, Calibration, Work, identify
from nautilus_metal.engine.placement_work import WORK
from nautilus_metal.errors import DeviceError

KEYS = {
    "schema", "nautilus_metal", "python", "system", "versions", "extras", "devices", "device", "conditions", "memory",
    "calibration", "placement", "fault", "environment", "missing",
}
DEVICE_KEYS = {
    "device", "chip", "gpu_cores", "cpu_cores", "memory_bytes", "recommended_bytes", "bandwidth", "bandwidth_source",
    "system", "driver", "fault",
}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def as_a_gpu(monkeypatch):
    """Measure nothing, and answer what a GPU would."""

    def measure(engine: ComputeEngine, work: dict[str, Work]) -> Calibration:
        row = {"cpu": [1e-5, 1e-4, 1e-3, 1e-2, 1e-2, 1e-1], "device": [2e-4] * len(SIZES)}
        return Calibration(
            **identify(engine), measured="2026-11-22T12:00:00+00:00", copy_to_device=48.5, copy_from_device=40.25,
            copy_within=1234.5, matmul=13_000.0, launch=8.0, round_trip=150.0, times=dict.fromkeys(work, row),
        )

    monkeypatch.setattr(placement_store, "measure", measure)


def facts_of(capsys, *arguments: str) -> dict:
    """Run the command with --json."""
    assert main(["doctor", "--json", *arguments]) == 0

    def no_constant(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(capsys.readouterr().out, parse_constant=no_constant)


def test_the_page_names_versions_devices_figures_and_extras(capsys):
    assert main(["doctor", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    for word in (__version__, "nautilus_trader", "torch", "cpu", "examples", "fast", "test", "dev"):
        assert word in text
    for word in ("Measured on cpu", "copy within memory", "matrix product", "launch", "round trip", "memory budget"):
        assert word in text


@pytest.mark.slow
def test_the_json_of_this_machine(capsys, cache):
    facts = facts_of(capsys)
    assert set(facts) == KEYS
    assert all(set(row) == DEVICE_KEYS for row in facts["devices"])
    assert [row["device"] for row in facts["devices"]][-1] == "cpu"
    assert facts["fault"] is None
    assert all(row["fault"] is None for row in facts["devices"])
    measured = facts["calibration"]
    assert set(measured) == set(Calibration.__dataclass_fields__)
    assert all(math.isfinite(measured[key]) and measured[key] > 0 for key in ("copy_within", "matmul", "launch"))
    assert [row["kind"] for row in facts["placement"]] == (list(WORK) if facts["device"] != "cpu" else [])
    assert len(list((cache / "nautilus_metal").glob("calibration-*.json"))) == 1, "kept for the placement"


def test_a_gpus_placement_is_a_table(capsys, as_a_gpu):
    facts = facts_of(capsys, "--device", "cpu")
    assert [row["kind"] for row in facts["placement"]] == list(WORK)
    assert all(row["elements"] == list(SIZES) for row in facts["placement"])
    assert all(SIZES[1] < row["device_from"] < SIZES[2] for row in facts["placement"])
    assert main(["doctor", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "copy to the device    48.5 GB/s" in text
    assert "losses" in text
    assert "the device from" in text


def test_what_is_unknown_has_no_figure(capsys, monkeypatch, as_a_gpu):
    from nautilus_metal.engine import hardware

    monkeypatch.setattr(hardware, "read_conditions", lambda _: Conditions())
    facts = facts_of(capsys, "--device", "cpu")
    assert (facts["conditions"]["thermal"], facts["conditions"]["memory"], facts["conditions"]["sensors"]) == (
        None, None, [],
    )
    assert {"a sensor of heat", "a sensor of memory pressure"} <= {gap["what"] for gap in facts["missing"]}


def test_what_is_missing_comes_with_the_way_to_get_it(capsys, monkeypatch, as_a_gpu):
    monkeypatch.setattr(doctor_facts, "find_spec", lambda name: None if name == "skfolio" else object())
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    assert main(["doctor", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "lacks skfolio: pip install 'nautilus_metal[examples]'" in text
    assert "unset PYTORCH_ENABLE_MPS_FALLBACK" in text
    facts = facts_of(capsys, "--device", "cpu")
    assert facts["extras"]["examples"] == ["skfolio"]
    assert {"what": "the extra examples", "get": "pip install 'nautilus_metal[examples]'"} in facts["missing"]


@pytest.mark.parametrize("as_json", [True, False])
def test_without_torch_the_rest_is_still_said(capsys, monkeypatch, as_json):
    real = doctor_facts._version
    monkeypatch.setattr(doctor_facts, "_version", lambda name: None if name == "torch" else real(name))
    assert main(["doctor", *(["--json"] if as_json else [])]) == 1
    out, err = capsys.readouterr()
    assert "torch missing: pip install nautilus_metal" in err
    if as_json:
        facts = json.loads(out)
        assert set(facts) == KEYS
        assert facts["devices"] is facts["calibration"] is facts["conditions"] is None
    else:
        assert "MISSING" in out
        assert "unknown without torch" in out


def test_a_device_that_computes_wrongly_is_said_and_not_measured(capsys, monkeypatch):
    def fail(_: ComputeEngine) -> None:
        raise DeviceError("cpu does not work: it multiplies small matrices wrongly")

    monkeypatch.setattr(ComputeEngine, "probe", fail)
    facts = facts_of(capsys, "--device", "cpu")
    assert (facts["calibration"], facts["placement"]) == (None, None)
    assert "multiplies small matrices wrongly" in facts["fault"]
    assert set(facts) == KEYS
    assert main(["doctor", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "DOES NOT WORK" in text
    assert "nothing: cpu does not work" in text


def test_a_device_that_fails_while_it_is_measured_has_no_figures(capsys, monkeypatch):
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("MPS backend out of memory")

    monkeypatch.setattr(placement_store, "measure", fail)
    facts = facts_of(capsys, "--device", "cpu")
    assert (facts["calibration"], facts["placement"], facts["fault"]) == (None, None, "MPS backend out of memory")
    assert set(facts) == KEYS


@pytest.mark.parametrize(("device", "words"), [("gpu", "`device` must be"), ("cuda:77", "is not available here")])
def test_a_device_that_is_not_here_is_one_line(capsys, device, words):
    assert main(["doctor", "--device", device]) == 2
    assert words in capsys.readouterr().err
