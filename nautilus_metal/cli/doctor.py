"""`nautilus-metal doctor`: what is here and how fast it is, what is missing and how to get it."""

import argparse
import json
import sys
from collections.abc import Iterator

from nautilus_metal.cli.doctor_facts import REQUIRED, Facts, collect


def add_doctor(commands: argparse._SubParsersAction) -> None:
    """Add the command with its options."""
    command = commands.add_parser(
        "doctor",
        help="what is installed, which devices are there and how fast, what is missing",
        description="Facts about this machine, measured now; a few seconds. What was not measured has no figure.",
    )
    command.add_argument("--device", default="auto", help="measure auto (default), mps, cuda, cuda:1 or cpu")
    command.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    command.add_argument(
        "--verify", action="store_true", help="check every kernel on the device against float64, under a minute"
    )
    command.set_defaults(action=doctor)


def doctor(arguments: argparse.Namespace) -> int:
    """Print the page, or check the kernels.

    Returns
    -------
    int
        0, or 1 where something required is missing or a kernel is wrong.
    """
    if arguments.verify:
        from nautilus_metal.cli.verify import verify

        return verify(arguments.device, arguments.as_json)
    facts = collect(arguments.device)
    print(json.dumps(facts, indent=2, allow_nan=False) if arguments.as_json else "\n".join(_page(facts)))
    absent = [name for name in REQUIRED if facts["versions"][name] is None]
    if absent:
        print(f"nautilus-metal: {', '.join(absent)} missing: pip install nautilus_metal", file=sys.stderr)
    return 1 if absent else 0


def _page(facts: Facts) -> Iterator[str]:
    yield f"nautilus_metal {facts['nautilus_metal']} on Python {facts['python']}, {facts['system']}"
    for name, found in facts["versions"].items():
        yield _line(name, found or "MISSING: pip install nautilus_metal")
    yield "Devices, best first"
    if facts["devices"] is None:
        yield "  unknown without torch"
    else:
        for row in facts["devices"]:
            yield _line(row["device"], _device(row))
        yield from _state(facts)
        yield from _figures(facts)
        yield from _placement(facts)
    yield "Extras"
    for extra, absent in facts["extras"].items():
        state = f"lacks {', '.join(absent)}: pip install 'nautilus_metal[{extra}]'" if absent else "complete"
        yield _line(extra, state)
    yield "Missing"
    for gap in facts["missing"]:
        yield f"  {gap['what']}: {gap['get']}"
    if not facts["missing"]:
        yield "  nothing"


def _line(name: str, text: str) -> str:
    return f"  {name:<22}{text}"


def _device(row: Facts) -> str:
    """One device in words: only what is known."""
    cores = " + ".join(f"{count} {name}" for name, count in row["cpu_cores"])
    words = [
        row["chip"] or "unknown chip",
        f"{row['gpu_cores']} GPU cores" if row["gpu_cores"] else None,
        f"CPU cores: {cores}" if cores else None,
        f"{row['memory_bytes'] / 2**30:.1f} GiB" if row["memory_bytes"] else None,
        f"{row['recommended_bytes'] / 2**30:.1f} GiB recommended" if row["recommended_bytes"] else None,
        f"{row['bandwidth']:.0f} GB/s published" if row["bandwidth"] else None,
        row["system"],
        f"driver {row['driver']}" if row["driver"] else None,
        "works" if row["fault"] is None else f"DOES NOT WORK: {row['fault']}",
    ]
    return ", ".join(word for word in words if word)


def _state(facts: Facts) -> Iterator[str]:
    conditions, memory = facts["conditions"], facts["memory"]
    yield f"Now, on {facts['device']}"
    yield _line("conditions", conditions["says"])
    yield _line("sensors", ", ".join(conditions["sensors"]) or "none")
    yield _line("memory budget", f"{memory['budget_mb']:,.0f} of {memory['total_mb']:,.0f} MiB")


_FIGURES = (
    ("copy_to_device", "copy to the device", "GB/s"),
    ("copy_from_device", "copy from the device", "GB/s"),
    ("copy_within", "copy within memory", "GB/s, read plus written"),
    ("matmul", "matrix product", "GFLOP/s in float32"),
    ("launch", "launch", "us an operator, many in a row"),
    ("round_trip", "round trip", "us for an operator and its result"),
)


def _figures(facts: Facts) -> Iterator[str]:
    yield f"Measured on {facts['device']}"
    found = facts["calibration"]
    if found is None:
        yield f"  nothing: {facts['fault']}"
        return
    for key, name, unit in _FIGURES:
        if found[key] is not None:
            yield _line(name, f"{found[key]:,.1f} {unit}")


def _placement(facts: Facts) -> Iterator[str]:
    """Milliseconds on the CPU and on the device by size, and from where on the device is faster."""
    rows = facts["placement"]
    if not rows:
        return
    yield "Placement: ms on the CPU / on the device"
    yield _line("elements", "".join(f"{size:>22,}" for size in rows[0]["elements"]))
    for row in rows:
        times = zip(row["cpu"], row["device"], strict=True)
        pairs = "".join(f"{f'{1e3 * cpu:.3g} / {1e3 * device:.3g}':>22}" for cpu, device in times)
        start = row["device_from"]
        where = "the CPU" if start is None else f"the device from {start:,} elements"
        yield _line(row["kind"], f"{pairs}  {where}")
