"""Which NautilusTrader is installed: the Cython core of 1.x, or the Rust core of 2.x."""

from importlib.metadata import version

MAJOR = int(version("nautilus_trader").partition(".")[0])
