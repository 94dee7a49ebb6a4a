"""`nautilus-metal live CONFIG`: check the config of a live node, then run it and print its risk."""

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from nautilus_metal.cli.backtest import FOLDER, roots
from nautilus_metal.errors import InputError, MetalError

DEMO, SOAK = "live_replay.toml", "live_soak.toml"
REPLAY_CLIENT = "REPLAY"
SOAK_TICKS, SOAK_SECONDS = 1_000_000, 1_800.0
GREW = 1


def add_live(commands: Any) -> None:
    """Add the command to the parser's."""
    command = commands.add_parser(
        "live",
        help="run a live node from CONFIG, or the demonstration: --replay",
        description="Run a NautilusTrader live node from a TOML or JSON file: the keys of TradingNodeConfig, and a "
        "table [metal] for what this package adds. The file is checked first.",
    )
    command.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="a .toml or .json file")
    command.add_argument("--replay", action="store_true", help="the demonstration: recorded prices, no network")
    command.add_argument("--speed", type=speed, help="of a replay: a factor, or max for as fast as possible")
    command.add_argument("--check", action="store_true", help="check the file and stop")
    command.add_argument("--seconds", type=float, help="stop after so many seconds (a soak: after 1800)")
    command.add_argument("--soak", action="store_true", help="watch a long replay, CONFIG's or our own, for growth")
    command.add_argument("--ticks", type=int, default=SOAK_TICKS, help="of a soak (default 1000000)")
    command.set_defaults(action=_live)


def speed(text: str) -> float | str:
    """Read a replay's speed."""
    if text == "max":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or max, was {text}") from None


def _live(arguments: argparse.Namespace) -> int:
    if sum((arguments.config is not None, arguments.replay)) != (0 if arguments.soak and not arguments.config else 1):
        raise InputError("`live` must be given CONFIG, or --replay, or --soak with or without CONFIG")
    if arguments.seconds is not None and not arguments.seconds > 0.0:
        raise InputError(f"`--seconds` must be above 0, was {arguments.seconds}")
    if arguments.ticks < 1:
        raise InputError(f"`--ticks` must be at least 1, was {arguments.ticks}")
    path = arguments.config or _own(DEMO if arguments.replay else SOAK)
    for root in (Path.cwd(), path.resolve().parent, *roots()):
        if str(root) not in sys.path:
            sys.path.append(str(root))
    return _run(path, arguments)


def _run(path: Path, arguments: argparse.Namespace) -> int:
    from nautilus_metal.live import Console, node_config, read_settings

    settings = read_settings(path)
    if arguments.speed is not None:
        _set_speed(settings, arguments.speed)
    config = node_config(settings, str(path))
    if arguments.check:
        print(f"{path} is right")
        return 0
    print(f"{config.trader_id} runs from {path}; Ctrl-C stops it", flush=True)
    if arguments.soak:
        return _soak(config, arguments.ticks, arguments.seconds or SOAK_SECONDS)
    with _built(config) as node:
        console = Console(node, sys.stdout)
        node.run(timeout=arguments.seconds)
    print(f"Stopped. {console.summary()}")
    return 0


def _soak(config: Any, ticks: int, seconds: float) -> int:
    from nautilus_metal.live import Soak, grown, soak_rows
    from nautilus_metal.report.terminal import table

    start = perf_counter()
    with _built(config) as node:
        watched = Soak(node)
        watched.run(ticks, seconds)
    parts = watched.windows()
    print(table(soak_rows(parts)))
    reports, took = len(watched.latencies.reports), perf_counter() - start
    print(f"{watched.ticks:,} ticks, {reports:,} risk reports and {watched.fills:,} fills in {took:,.0f} s")
    growth = grown(*parts[1:])
    print("\n".join(growth) if growth else "Nothing grew from the middle to the end.")
    return GREW if growth else 0


def _built(config: Any) -> Any:
    from nautilus_metal.live import LiveNode

    try:
        return LiveNode(config)
    except MetalError:
        raise
    except Exception as error:  # of the library, an adapter or a strategy: whatever they do not like in the config
        raise InputError(f"the node cannot be built: {type(error).__name__}: {error}") from error


def _set_speed(settings: dict[str, Any], factor: float | str) -> None:
    client = settings.get("data_clients", {}).get(REPLAY_CLIENT)
    if not isinstance(client, dict):
        raise InputError(f"`--speed` must go with a data client {REPLAY_CLIENT}, which this config has not")
    client.setdefault("config", {})["speed"] = factor


def _own(name: str) -> Path:
    for root in roots():
        path = root / FOLDER / name
        if path.exists():
            return path
    raise InputError(f"{FOLDER}/{name} is in a checkout of nautilus_metal: run from one")
