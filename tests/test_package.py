"""What the package promises before anything is computed: lazy imports, rooms that need no host, pinned versions."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import nautilus_metal

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROOMS = ("kernels", "engine", "risk", "report")

# Refuses a package as if it were not installed.
BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

BLOCKED = {"nautilus_trader"}
sys.meta_path.insert(0, Blocked())
"""

# Every question to a GPU is an error.
NO_DEVICE = """
import torch

def refuse(*args, **kwargs):
    raise AssertionError("a device was touched")

for module in (torch.cuda, torch.mps):
    for name in ("is_available", "device_count", "current_device", "init", "_lazy_init", "synchronize", "empty_cache",
                 "recommended_max_memory", "get_device_properties"):
        if hasattr(module, name):
            setattr(module, name, refuse)
torch.backends.mps.is_available = refuse
"""


def _python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy_and_starts_nothing():
    out = _python(
        "import sys, threading\n"
        "before = set(sys.modules)\n"
        "import nautilus_metal\n"
        "nautilus_metal.__version__, dir(nautilus_metal)\n"
        "print(threading.active_count())\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))\n"
    )
    threads, packages = out.splitlines()
    assert int(threads) == 1
    assert packages.split() == ["nautilus_metal"]


def test_importing_every_module_of_the_lower_rooms_touches_no_device_and_starts_no_thread():
    out = _python(
        NO_DEVICE + "import importlib, os, pkgutil, threading, numpy\n"
        "def tasks():\n"
        "    return len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else 0\n"
        "before = tasks(), threading.active_count()\n"
        f"for room in {ROOMS!r}:\n"
        "    package = importlib.import_module(f'nautilus_metal.{room}')\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "        print(module.name)\n"
        "assert (tasks(), threading.active_count()) == before\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    seen = set(out.split())
    assert {"nautilus_metal.kernels.rsi", "nautilus_metal.engine.pool", "nautilus_metal.risk.assess"} <= seen


def test_the_lower_rooms_work_with_no_nautilus_trader():
    out = _python(
        BLOCK + "import numpy as np, torch\n"
        "from nautilus_metal import Book, ComputeEngine, assess\n"
        "from nautilus_metal.kernels.rsi import rsi\n"
        "import nautilus_metal.report\n"
        "print(float(rsi(torch.tensor([1.0, 2.0, 1.0, 3.0], dtype=torch.float64), 2)[-1]))\n"
        "returns = np.random.default_rng(0).normal(scale=0.01, size=(300, 3))\n"
        "book = Book.linear(quantities=[1, -2, 3], prices=[10.0, 20.0, 30.0])\n"
        "with ComputeEngine('cpu') as engine:\n"
        "    risk = assess(book, returns, scenarios=2_000, engine=engine)\n"
        "    print(risk.es[0.99] > risk.var[0.99] > risk.var[0.95] > 0, engine.pool.stats().active_blocks)\n"
        "assert not any(name.partition('.')[0] == 'nautilus_trader' for name in sys.modules)\n"
    )
    value, order, active = out.split()
    assert float(value) == pytest.approx(100 * 5 / 6)
    assert (order, active) == ("True", "0")


def test_what_needs_nautilus_trader_says_so():
    out = _python(
        BLOCK + "import nautilus_metal\n"
        "try:\n"
        "    nautilus_metal.RiskActor\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error.name.partition('.')[0])\n"
    )
    assert out.strip() == "nautilus_trader"


@pytest.mark.parametrize("name", nautilus_metal.__all__)
def test_every_public_name_is_there(name):
    assert getattr(nautilus_metal, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        nautilus_metal.Nothing  # noqa: B018


def test_the_version_is_the_projects():
    assert nautilus_metal.__version__ == PROJECT["version"]


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


CONSTRAINTS = pytest.mark.parametrize("file", ["constraints.txt", "constraints-v2.txt"])


@CONSTRAINTS
def test_constraints_hold_names_and_versions_only(file):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    assert lines
    odd = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==\d+(\.\w+)*", line)]
    assert not odd
    names = [_name(line) for line in lines]
    assert len(set(names)) == len(names)


@CONSTRAINTS
def test_constraints_pin_every_requirement(file):
    unused = {"dev"} if file == "constraints-v2.txt" else set()  # style, types and rooms are checked once
    extras = [lines for extra, lines in PROJECT["optional-dependencies"].items() if extra not in unused]
    wanted = {_name(line) for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]}
    pinned = {_name(line) for line in (ROOT / file).read_text(encoding="utf-8").splitlines()}
    assert wanted - pinned <= {"nautilus-metal"}


def test_the_host_is_pinned_to_one_version_of_each_kind():
    pinned = [(ROOT / file).read_text(encoding="utf-8") for file in ("constraints.txt", "constraints-v2.txt")]
    assert "nautilus_trader==1." in pinned[0]
    assert "nautilus_trader==2." in pinned[1]


def test_only_the_host_room_asks_which_version_it_is():
    """Actors, indicators, messages and the rest are written once."""
    asks = re.compile(r"\bMAJOR\b|nautilus_trader\.__version__|version\(.nautilus|host\.(v1|v2|version|words)")
    files = [path for path in (ROOT / "nautilus_metal").rglob("*.py") if path.parent.name != "host"]
    assert len(files) > 100
    assert not [str(path) for path in files if asks.search(path.read_text(encoding="utf-8"))]


def test_the_console_script_leads_to_a_function():
    module, _, function = PROJECT["scripts"]["nautilus-metal"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
