"""Triton where it is installed, so that the kernels' files can be imported without it."""

import os
from importlib import import_module
from typing import Any


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:  # the kernels stay plain functions that nobody can launch
        return None


triton = _installed("triton")
tl = _installed("triton.language")
libdevice = _installed("triton.language.extra.cuda.libdevice")

# Triton's interpreter on a CPU has none of the device's own functions.
ON_DEVICE: Any = tl and tl.constexpr(os.environ.get("TRITON_INTERPRET") != "1")


def jit(*arguments: str) -> Any:
    """Decorate a kernel; `arguments` are integers for which no version of their own is compiled."""

    def decorate(function: Any) -> Any:
        return function if triton is None else triton.jit(function, do_not_specialize=list(arguments))

    return decorate


def cdiv(a: int, b: int) -> int:
    """Quotient, rounded up."""
    return -(-a // b)
