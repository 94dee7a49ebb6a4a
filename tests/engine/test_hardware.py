"""Facts: each parser on recorded output, the table of chips, and probes that never raise."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nautilus_metal.engine.hardware import ask, describe, facts
from nautilus_metal.engine.hardware.chips import CHIPS, find_chip
from nautilus_metal.engine.hardware.parsers import (
    Accelerator,
    core_levels,
    parse_cpuinfo,
    parse_displays,
    parse_driver,
    parse_ioreg,
    parse_meminfo,
    parse_sysctl,
    whole,
)

SAMPLES = json.loads((Path(__file__).parent / "data" / "apple_hardware_samples.json").read_text())["samples"]


def recorded(command: str) -> list[tuple[str, dict]]:
    """Outputs of a command with the facts that a parser must find in them."""
    return [(sample["output"], sample["facts"]) for sample in SAMPLES if command in sample["command"]]


@pytest.mark.parametrize(("output", "expected"), recorded("sysctl"))
def test_sysctl(output, expected):
    values = parse_sysctl(output)
    assert core_levels(values) == tuple(tuple(level) for level in expected["core_levels"])
    assert values.get("machdep.cpu.brand_string") == expected.get("chip")
    assert whole(values.get("hw.memsize")) == expected.get("memory_bytes")


@pytest.mark.parametrize(("output", "expected"), recorded("ioreg"))
def test_ioreg(output, expected):
    assert parse_ioreg(output) == Accelerator(expected["model"], expected["gpu_cores"])


@pytest.mark.parametrize(("output", "expected"), recorded("system_profiler"))
def test_system_profiler(output, expected):
    gpu = expected["gpus"][0]
    assert parse_displays(output) == Accelerator(gpu["model"], gpu["cores"])


@pytest.mark.parametrize("text", [None, "", "garbage", "{", "[]", '{"SPDisplaysDataType": 3}', "hw.memsize: max"])
def test_what_a_text_does_not_say_is_none(text):
    assert parse_ioreg(text) == parse_displays(text) == Accelerator(None, None)
    assert core_levels(parse_sysctl(text)) == ()
    assert whole(parse_sysctl(text).get("hw.memsize")) is None
    assert parse_cpuinfo(text) is parse_meminfo(text) is parse_driver(text) is None


def test_linux_files():
    assert parse_cpuinfo("processor\t: 0\nmodel name\t: AMD EPYC 9R14\nmodel name\t: other\n") == "AMD EPYC 9R14"
    assert parse_meminfo("MemTotal:       24652000 kB\nMemFree:  1 kB\n") == 24652000 * 1024
    assert parse_driver("580.159.04\n580.159.04\n") == "580.159.04"
    assert parse_driver("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") is None


@pytest.mark.parametrize(
    ("name", "cores", "bandwidth"),
    [
        ("Apple M1", 8, 68),
        ("Apple M2 Ultra", 76, 800),
        ("Apple M3 Max", 30, 300),
        ("Apple M3 Max", 40, 400),
        ("Apple M4 Max", 32, 410),
        ("Apple M4 Max", 40, 546),
        ("Apple M5 Max", 40, 614),
        ("Apple M4 Max", None, None),
        ("Apple M4 Max", 24, None),
        ("M4 Max", 40, None),
        ("Apple M4 Maxi", 40, None),
        ("Apple M9", 10, None),
        (None, None, None),
    ],
)
def test_bandwidth_is_published_for_exactly_this_chip_or_none(name, cores, bandwidth):
    row = find_chip(name, cores)
    assert (row.bandwidth if row else None) == bandwidth


def test_every_generation_is_in_the_table_once_with_its_source():
    assert len({(row.name, row.gpu_cores) for row in CHIPS}) == len(CHIPS)
    assert {row.name.split()[1] for row in CHIPS} == {"M1", "M2", "M3", "M4", "M5"}
    assert all(row.source for row in CHIPS)


def _pretend_mac(monkeypatch: pytest.MonkeyPatch, gpu_command: str) -> list[tuple[str, ...]]:
    """Answer commands as a Mac does, ioreg or system_profiler alone for the GPU."""
    asked = []
    outputs = {
        "/usr/sbin/sysctl": recorded("sysctl")[0][0],
        "/usr/sbin/ioreg": recorded("ioreg")[0][0],
        "/usr/sbin/system_profiler": recorded("system_profiler")[0][0],
    }

    def run(*command: str) -> str | None:
        asked.append(command)
        known = command[0] == "/usr/sbin/sysctl" or command[0].endswith(gpu_command)
        return outputs[command[0]] if known else None

    monkeypatch.setattr(ask, "run", run)
    monkeypatch.setattr(facts.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(facts.platform, "mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 30_150_672_384)
    return asked


def test_a_mac_says_what_it_is(monkeypatch):
    asked = _pretend_mac(monkeypatch, "ioreg")
    found = describe.__wrapped__("mps")
    assert (found.chip, found.gpu_cores, found.system) == ("Apple M5 Max", 40, "macOS 26.1")
    assert found.cpu_cores == (("Super", 6), ("Performance", 12))
    assert (found.memory_bytes, found.recommended_bytes) == (38654705664, 30_150_672_384)
    assert (found.bandwidth, found.bandwidth_source) == (614, "Apple, MacBook Pro (2026), technical specifications")
    assert not any("system_profiler" in command[0] for command in asked), "slow, and not needed"
    on_cpu = describe.__wrapped__("cpu")
    assert (on_cpu.chip, on_cpu.bandwidth, on_cpu.recommended_bytes) == ("Apple M5 Max", 614, None)


def test_without_the_number_of_cores_a_variants_bandwidth_is_unknown(monkeypatch):
    _pretend_mac(monkeypatch, "neither")
    found = describe.__wrapped__("mps")
    assert (found.chip, found.gpu_cores) == ("Apple M5 Max", None)
    assert (found.bandwidth, found.bandwidth_source) == (None, None)


@pytest.mark.parametrize("kind", ["mps", "cuda", "cpu"])
def test_a_machine_that_answers_nothing_is_described_without_raising(monkeypatch, kind):
    def fail(*_: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(ask, "run", lambda *_: None)
    monkeypatch.setattr(ask, "read", lambda *_: None)
    for room, name in [(torch.cuda, "get_device_properties"), (torch.mps, "recommended_max_memory")]:
        monkeypatch.setattr(room, name, fail)
    monkeypatch.setattr(facts.psutil, "virtual_memory", fail)
    monkeypatch.setattr(facts.psutil, "cpu_count", fail)
    found = describe.__wrapped__(kind)
    assert found.device.startswith(kind)
    assert (found.memory_bytes, found.bandwidth, found.bandwidth_source, found.driver) == (None, None, None, None)


def test_a_gpus_bandwidth_comes_from_its_driver(monkeypatch):
    class Properties:
        name, multi_processor_count, total_memory = "NVIDIA H100 80GB HBM3", 132, 85_017_493_504
        memory_clock_rate, memory_bus_width = 2_619_000, 5120

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    found = describe.__wrapped__("cuda", 1)
    assert (found.device, found.chip, found.gpu_cores) == ("cuda:1", "NVIDIA H100 80GB HBM3", 132)
    assert found.bandwidth == pytest.approx(3352.32)
    assert found.bandwidth_source == "driver: twice the memory clock times the bus width"


def test_the_memory_of_a_container_is_its_limit(monkeypatch):
    texts = {"/proc/meminfo": "MemTotal: 8388608 kB\n", "/sys/fs/cgroup/memory.max": "2147483648\n"}
    monkeypatch.setattr(ask, "read", lambda path: texts.get(path))
    assert facts.main_memory() == 2**31
    texts["/sys/fs/cgroup/memory.max"] = "max\n"
    assert facts.main_memory() == 2**33


@pytest.mark.parametrize(
    "command",
    [
        ("/nowhere/at/all",),
        (sys.executable, "-c", "import sys; sys.exit(3)"),
        (sys.executable, "-c", "import time; time.sleep(60)"),
    ],
)
def test_a_command_that_is_missing_fails_or_hangs_answers_none(monkeypatch, command):
    monkeypatch.setattr(ask, "TIMEOUT", 0.5)
    assert ask.run(*command) is None
    assert ask.run(sys.executable, "-c", "print('there')") == "there\n"


@pytest.mark.slow
def test_importing_asks_nothing():
    code = (
        "import subprocess, torch\n"
        "subprocess.Popen.__init__ = lambda *a, **k: exit('a command was run')\n"
        "import nautilus_metal.engine.hardware, nautilus_metal.engine\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
