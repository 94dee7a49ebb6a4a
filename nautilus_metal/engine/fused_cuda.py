"""Where the kernels in Triton come from: a source of `engine.fused` for each family of `kernels.triton`."""

from importlib import import_module
from types import ModuleType


def scans() -> ModuleType:
    """RSI and MACD of many series."""
    return _family("scans")


def paths() -> ModuleType:
    """Options on the mean of a path."""
    return _family("paths")


def lstm() -> ModuleType:
    """Stacked LSTM layers."""
    return _family("lstm")


def book() -> ModuleType:
    """Losses of a book with options."""
    return _family("book")


def _family(name: str) -> ModuleType:
    import_module("triton")  # an ImportError says that the eager kernels run
    return import_module(f"nautilus_metal.kernels.triton.{name}")
