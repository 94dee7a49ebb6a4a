"""A device whose torch compiles shaders: the CPU, with `torch.mps.compile_shader` backed by g++."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nautilus_metal.engine import fused
from tests.metal_shim.library import Library, compile_shader


def shaders_on_the_cpu(patch: pytest.MonkeyPatch, folder: Path, edit: Callable[[str], str] = str) -> list[Library]:
    """Let the CPU pass for the device with shaders, in a process that knows none yet; return what gets compiled.

    `edit` changes a shader's text before it is compiled.
    """
    compiled: list[Library] = []

    def compiler(text: str) -> Library:
        compiled.append(compile_shader(edit(text)))
        compiled[-1].calls.clear()
        return compiled[-1]

    patch.setenv("XDG_CACHE_HOME", str(folder))
    patch.delenv(fused.SWITCH, raising=False)
    metal, numba = fused.LANGUAGES["metal"], fused.LANGUAGES["numba"]
    patch.setitem(fused.LANGUAGES, "metal", metal._replace(kind="cpu"))
    patch.setitem(fused.LANGUAGES, "numba", numba._replace(kind="none"))
    patch.setattr(fused, "_kernels", {})
    patch.setattr(torch.mps, "compile_shader", compiler)
    return compiled


def verdicts() -> dict[str, bool]:
    """What is known of the kernels."""
    return fused._kernels["metal"].verdicts if "metal" in fused._kernels else {}
