"""Which tests belong to the NautilusTrader that is installed; pytest's header says what is left out."""

from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAJOR = int(version("nautilus_trader").partition(".")[0])
# Paths that need the other major version: they import its modules, or drive its classes.
NEEDS_V2 = ("tests/v2/", "tests/parity/host_v2", "nautilus_metal/host/v2")
NEEDS_V1 = (
    *("tests/actors/", "tests/bench/", "tests/cli/", "tests/indicators/", "tests/live/"),
    *("tests/strategies/test_importable", "tests/kernels/test_averages.py", "tests/test_readme.py"),
    *("tests/host/test_catalog.py", "tests/host/test_gate_route.py", "tests/host/test_replay_data.py"),
    *("tests/host/test_averages.py", "tests/host/test_tearsheet.py"),
    *("tests/parity/host_v1", "nautilus_metal/host/v1"),
)
LEFT_OUT = NEEDS_V2 if MAJOR == 1 else NEEDS_V1


class OneHost:
    """A pytest plugin: `pytest_ignore_collect` of a conftest would not reach the package's own folder."""

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        if not collection_path.is_relative_to(ROOT):
            return None
        name = collection_path.relative_to(ROOT).as_posix()
        return True if (f"{name}/" if collection_path.is_dir() else name).startswith(LEFT_OUT) else None

    def pytest_report_header(self) -> str:
        return f"NautilusTrader {version('nautilus_trader')}; left out as of the other version: {', '.join(LEFT_OUT)}"


def follow_host(config: pytest.Config) -> None:
    """Have only those tests collected that the installed version can run."""
    config.pluginmanager.register(OneHost(), "one-host")
