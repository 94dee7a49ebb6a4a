"""`nautilus-metal live CONFIG`: check the config of a live node, then run it and print its risk."""

import argparse
import sys
from pathlib import Path
from typing import Any

from nautilus_metal.cli.backtest import FOLDER, roots
from nautilus_metal.errors import InputError

DEMO = "live_replay.toml"
REPLAY_CLIENT = "REPLAY"


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
    command.add_argument("--seconds", type=float, help="stop after so many seconds")
    command.add_argument("--soak", action="store_true", help="a long replay that fails on growth")
    command.add_argument("--ticks", type=int, default=1_000_000, help="of the soak (default 1000000)")
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
    chosen = [arguments.config is not None, arguments.replay, arguments.soak]
    if sum(chosen) != 1:
        raise InputError("`live` must be given one of CONFIG, --replay and --soak")
    if arguments.soak:
        from nautilus_metal.live.soak import run_soak

        return run_soak(arguments.ticks)
    path = _demo() if arguments.replay else arguments.config
    for root in (Path.cwd(), path.resolve().parent, *roots()):
        if str(root) not in sys.path:
            sys.path.append(str(root))
    return _run(path, arguments)


def _run(path: Path, arguments: argparse.Namespace) -> int:
    from nautilus_metal.live import Console, LiveNode, node_config, read_settings

    settings = read_settings(path)
    if arguments.speed is not None:
        _set_speed(settings, arguments.speed)
    config = node_config(settings, str(path))
    if arguments.check:
        print(f"{path} is right")
        return 0
    with LiveNode(config) as node:
        console = Console(node, sys.stdout)
        print(f"{config.trader_id} runs from {path}; Ctrl-C stops it", flush=True)
        node.run(timeout=arguments.seconds)
    print(f"Stopped. {console.summary()}")
    return 0


def _set_speed(settings: dict[str, Any], factor: float | str) -> None:
    client = settings.get("data_clients", {}).get(REPLAY_CLIENT)
    if not isinstance(client, dict):
        raise InputError(f"`--speed` must go with a data client {REPLAY_CLIENT}, which this config has not")
    client.setdefault("config", {})["speed"] = factor


def _demo() -> Path:
    for root in roots():
        path = root / FOLDER / DEMO
        if path.exists():
            return path
    raise InputError(f"the demonstration {FOLDER}/{DEMO} is in a checkout of nautilus_metal: run from one")
