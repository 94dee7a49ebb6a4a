"""`nautilus-metal doctor`: what is here, what is missing and how to get it."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from nautilus_metal import __version__

REQUIRED = ("nautilus_trader", "torch", "numpy", "psutil")
EXTRAS = {
    "fast": {"numba": "numba"},
    "examples": {"skfolio": "skfolio", "arch": "arch", "plotly": "plotly", "matplotlib": "matplotlib"},
    "test": {"pytest": "pytest", "hypothesis": "hypothesis", "TA-Lib": "talib", "QuantLib": "QuantLib"},
    "dev": {"ruff": "ruff", "mypy": "mypy", "import-linter": "importlinter"},
}


def doctor() -> int:
    """Print versions, devices and extras.

    Returns
    -------
    int
        0, or 1 where something required is missing.
    """
    missing = [name for name in REQUIRED if _version(name) is None]
    print(f"nautilus_metal {__version__} on Python {platform.python_version()}, {platform.platform()}")
    for name in REQUIRED:
        print(f"  {name:<16}{_version(name) or 'MISSING: pip install nautilus_metal'}")
    print("Devices, best first")
    print(f"  {_devices() if 'torch' not in missing else 'unknown without torch'}")
    print("Extras")
    for extra, packages in EXTRAS.items():
        absent = [name for name, module in packages.items() if find_spec(module) is None]
        state = "complete" if not absent else f"lacks {', '.join(absent)}: pip install 'nautilus_metal[{extra}]'"
        print(f"  {extra:<16}{state}")
    if missing:
        print(f"nautilus-metal: {', '.join(missing)} missing: pip install nautilus_metal", file=sys.stderr)
    return 1 if missing else 0


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> str:
    from nautilus_metal.engine import available_devices

    return ", ".join(available_devices())
