"""Pure parsers of what commands and system files print; what a text does not say is None or absent."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

SYSCTL_KEYS = (
    "hw.memsize",
    "machdep.cpu.brand_string",
    "hw.nperflevels",
    *(f"hw.perflevel{level}.{what}" for level in range(4) for what in ("name", "physicalcpu")),
)


def parse_sysctl(text: str | None) -> dict[str, str]:
    """Split ``sysctl -i`` into keys and values.

    Examples
    --------
    >>> parse_sysctl("hw.memsize: 38654705664\\n")
    {'hw.memsize': '38654705664'}
    """
    lines = (line.partition(":") for line in (text or "").splitlines())
    return {key.strip(): value.strip() for key, colon, value in lines if colon and value.strip()}


def core_levels(values: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """Kinds of CPU cores with their number, fastest first, from `parse_sysctl`; empty where it names none."""
    found = []
    for level in range(whole(values.get("hw.nperflevels")) or 0):
        name = values.get(f"hw.perflevel{level}.name")
        count = whole(values.get(f"hw.perflevel{level}.physicalcpu"))
        if name and count:
            found.append((name, count))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Accelerator:
    """An Apple GPU: its name, and how many cores it has."""

    model: str | None
    cores: int | None


def parse_ioreg(text: str | None) -> Accelerator:
    """Read ``ioreg -rc AGXAccelerator -d1``."""
    model = re.search(r'"model"\s*=\s*<?"([^"]+)"', text or "")
    cores = re.search(r'"gpu-core-count"\s*=\s*(\d+)', text or "")
    return Accelerator(model[1] if model else None, int(cores[1]) if cores else None)


def parse_displays(text: str | None) -> Accelerator:
    """Read ``system_profiler SPDisplaysDataType -json``: the first Apple GPU in it."""
    try:
        entries = json.loads(text or "")["SPDisplaysDataType"]
        for entry in entries:
            if str(entry.get("sppci_model", "")).startswith("Apple"):
                return Accelerator(entry["sppci_model"], whole(entry.get("sppci_cores")))
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    return Accelerator(None, None)


def parse_cpuinfo(text: str | None) -> str | None:
    """Name of the processor in ``/proc/cpuinfo``; Linux on Arm prints none."""
    found = re.search(r"^model name\s*:\s*(.+)$", text or "", re.MULTILINE)
    return found[1].strip() if found else None


def parse_meminfo(text: str | None) -> int | None:
    """Bytes of RAM in ``/proc/meminfo``."""
    found = re.search(r"^MemTotal:\s*(\d+) kB$", text or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def whole(text: object) -> int | None:
    """An integer at least 0 that is written in `text`, else None ("max" and "[N/A]" are no number)."""
    stripped = str(text).strip()
    return int(stripped) if re.fullmatch(r"\d{1,19}", stripped) else None


def parse_driver(text: str | None) -> str | None:
    """Driver's version from ``nvidia-smi --query-gpu=driver_version --format=csv,noheader``."""
    lines = (text or "").strip().splitlines()
    return lines[0].strip() if lines and re.fullmatch(r"[\d.]+", lines[0].strip()) else None
