"""Kernels in the Metal Shading Language, and the calls that hand tensors to them.

The text is plain and scalar, and uses no function of the device but addition, multiplication, division and square
root, so that a C++ compiler gives the same bits. `engine.fused` compiles it and decides whether it is used.
"""

from functools import cache
from importlib.resources import files

SHADERS = ("paths", "indicators", "options")

_HEAD = "#include <metal_stdlib>\nusing namespace metal;\n"


@cache
def shader(name: str) -> str:
    """Return the text of a shader, one of `SHADERS`, with what it needs."""
    folder = files(__name__)
    return _HEAD + "\n".join((folder / f"{part}.metal").read_text(encoding="utf-8") for part in ("maths", name))
