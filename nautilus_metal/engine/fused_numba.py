"""How numba compiles a fused kernel: a plain Python function, with the functions that it calls."""

import dis
import inspect
import zlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def compile_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function, once a machine: numba keeps its work beside the source, or in the user's cache.

    Raises
    ------
    ImportError
        If numba is not installed.
    """
    from numba import njit

    from nautilus_metal.engine import fused_lanes

    whole, files = _linked(function, dict(fused_lanes.INSTRUCTIONS), njit)
    if files:  # numba looks at the function's own file alone
        files |= {__file__, fused_lanes.__file__}
        digest = zlib.crc32(b"".join(Path(file).read_bytes() for file in sorted(files)))
        whole.__qualname__ = f"{function.__qualname__}_{digest:08x}"
    try:
        compiled: Callable[..., Any] = njit(cache=True, **_OPTIONS)(whole)
    except RuntimeError:  # no folder that the cache may be written to
        compiled = njit(**_OPTIONS)(whole)
    return compiled


def _linked(function: Any, done: dict[Any, Any], njit: Any) -> tuple[Any, set[str]]:
    """A copy of a function that calls compiled helpers, or instructions, and the files of helpers."""
    names = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    helpers = {name: each for name, each in names.items() if isinstance(each, FunctionType)}
    files = {inspect.getfile(each) for each in helpers.values()}
    for helper in helpers.values():
        if helper not in done:
            linked, more = _linked(helper, done, njit)
            loops = any(step.opname == "FOR_ITER" for step in dis.get_instructions(helper))  # worth a call
            options = _OPTIONS | ({"fastmath": {"contract", "reassoc"}} if hasattr(helper, "reordered") else {})
            done[helper] = njit(forceinline=not loops, **options)(linked)
            files |= more
    replaced = function.__globals__ | {name: done[helper] for name, helper in helpers.items()}
    copy = FunctionType(function.__code__, replaced, function.__name__, function.__defaults__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy, files
