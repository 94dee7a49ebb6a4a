"""Calibrations on disk: what fits is used, what does not is measured again, and nothing is ever raised."""

import json

import pytest

from nautilus_metal.engine import ComputeEngine, placement_store
from nautilus_metal.engine.placement_measure import SIZES, Calibration, Work, identify
from nautilus_metal.engine.placement_store import cache_file, calibrate, load, store
from nautilus_metal.engine.placement_work import WORK


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def measured(monkeypatch):
    """Counts measurements, which take no time."""
    calls = []

    def measure(engine: ComputeEngine, work: dict[str, Work]) -> Calibration:
        calls.append(str(engine.device))
        on_cpu = engine.device.type == "cpu"
        copy = None if on_cpu else 1.5
        row = {"cpu": [1e-3] * len(SIZES), "device": [1e-4] * len(SIZES)}
        times = {} if on_cpu else dict.fromkeys(work, row)
        when = f"2026-11-22T12:00:{len(calls):02d}+00:00"
        return Calibration(**identify(engine), measured=when, copy_to_device=copy, copy_from_device=copy,
                           copy_within=9.5, matmul=100.0, launch=2.0, round_trip=4.0, times=times)

    monkeypatch.setattr(placement_store, "measure", measure)
    return calls


def test_a_device_is_measured_once_for_a_user(engine, measured, cache):
    first = calibrate(engine, WORK)
    assert cache_file(engine).parent == cache / "nautilus_metal"
    assert calibrate(engine, WORK) == first
    assert len(measured) == 1
    assert calibrate(engine, WORK, fresh=True) != first
    assert len(measured) == 2
    assert [path.suffix for path in cache_file(engine).parent.iterdir()] == [".json"], "no scratch is left"


def test_without_the_variable_it_is_in_the_home_folder(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_file(engine).parent == tmp_path / "home" / ".cache" / "nautilus_metal"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_file(engine).parent == tmp_path / "home" / ".cache" / "nautilus_metal"


def _changed(**changes: object):
    return lambda text: json.dumps(json.loads(text) | changes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda _: "[1, 2]",
        lambda _: "null",
        _changed(version=0),
        _changed(torch="1.0"),
        _changed(device_name="Apple M9"),
        _changed(cpu_name="another"),
        _changed(matmul=-1.0),
        _changed(matmul=float("nan")),
        _changed(launch="fast"),
        _changed(round_trip=None),
        _changed(copy_within=True),
        _changed(times={"losses": {"cpu": [1.0], "device": [1.0]}}),
        _changed(times=[]),
        _changed(measured=5),
        _changed(extra=1),
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "matmul"}),
    ],
)
def test_a_file_that_does_not_fit_is_measured_again(engine, measured, damage):
    calibrate(engine, WORK)
    path = cache_file(engine)
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert load(engine) is None
    again = calibrate(engine, WORK)
    assert len(measured) == 2
    assert load(engine) == again


def test_bytes_that_are_no_text_are_measured_again(engine, measured):
    calibrate(engine, WORK)
    cache_file(engine).write_bytes(b"\xff\xfe\x00\x80")
    assert load(engine) is None


def test_a_gpus_times_must_be_complete(measured):
    with ComputeEngine("cpu") as engine:
        found = calibrate(engine, WORK)
        good = {kind: {"cpu": [1e-3] * len(SIZES), "device": [1e-3] * len(SIZES)} for kind in WORK}
        text = {name: getattr(found, name) for name in Calibration.__dataclass_fields__}
        text |= {"copy_to_device": 1.0, "copy_from_device": 1.0, "times": good}
        assert placement_store._is_sound(text, on_cpu=False)
        for broken in ({}, good | {"losses": {"cpu": [1e-3]}}, good | {"losses": {"cpu": [1e-3], "device": [1e-3]}}):
            assert not placement_store._is_sound(text | {"times": broken}, on_cpu=False)
        assert not placement_store._is_sound(text | {"copy_to_device": None}, on_cpu=False)


def test_kinds_of_work_that_a_calibration_does_not_know_are_added_to_it(engine, measured, monkeypatch):
    first = calibrate(engine, {"losses": WORK["losses"]})
    row = {"cpu": [2e-3] * len(SIZES), "device": [1e-3] * len(SIZES)}
    monkeypatch.setattr(placement_store, "work_times", lambda _, work: dict.fromkeys(work, row))
    both = calibrate(engine, {name: WORK[name] for name in ("losses", "series")})
    added = {} if engine.device.type == "cpu" else {"series": row}
    assert both.times == first.times | added
    assert load(engine) == both
    assert len(measured) == 1


def test_kinds_that_are_not_measured_anew_are_kept(engine, measured):
    first = calibrate(engine, {"losses": WORK["losses"]})
    again = calibrate(engine, {"series": WORK["series"]}, fresh=True)
    assert again.measured != first.measured
    assert list(again.times) == ([] if engine.device.type == "cpu" else ["losses", "series"])
    assert load(engine) == again


def test_a_file_in_the_place_of_the_folder_is_no_error(engine, measured, cache):
    (cache / "nautilus_metal").write_text("in the way")
    store(engine, calibrate(engine, WORK))
    assert load(engine) is None
    assert len(measured) == 1


def test_devices_have_files_of_their_own(monkeypatch):
    with ComputeEngine("cpu") as engine:
        names = {cache_file(engine)}
        for device in ("cuda:0", "cuda:1"):
            identity = {"device": device, "device_name": "NVIDIA H100"}
            monkeypatch.setattr(placement_store, "identify", lambda _, identity=identity: identity)
            names.add(cache_file(engine))
    assert len(names) == 3
