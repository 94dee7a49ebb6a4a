"""`torch.mps.compile_shader` for Linux: the shaders' own text through g++, run on the tensors' host memory."""

import ctypes
import hashlib
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
_FLAGS = ("-std=c++20", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")
_KNOWN = ("-Wno-unknown-pragmas", "-Wno-attributes", "-Wno-unused-function")
_KERNEL = re.compile(r"^kernel void (\w+)\(", re.MULTILINE)


@cache
def compile_shader(source: str) -> "Library":
    """Compile a shader; a text that g++ refuses is a SyntaxError, as it is for torch."""
    names = _KERNEL.findall(source)
    starts = [
        f'extern "C" void launch_{name}(void** a, unsigned n) {{ metal::launch({name}, a, n); }}' for name in names
    ]
    text = "\n".join([source, *starts, ""])
    header = (HERE / "metal_stdlib").read_text(encoding="utf-8")
    digest = hashlib.sha256("\n".join([header, text, *_FLAGS]).encode()).hexdigest()[:16]
    built = _folder() / f"shader-{digest}.so"
    if not built.exists():
        partial = built.with_suffix(f".{os.getpid()}")
        command = [os.environ.get("CXX", "g++"), *_FLAGS, *_KNOWN, f"-I{HERE}", "-x", "c++", "-", "-o", str(partial)]
        done = subprocess.run(command, input=text, text=True, capture_output=True)
        if done.returncode:
            raise SyntaxError(done.stderr)
        partial.replace(built)
    return Library(ctypes.CDLL(str(built)), names)


def _folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nautilus_metal" / "metal_shim"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Library:
    """The kernels of a shader as attributes, called as torch's are: buffers, numbers, then the threads."""

    def __init__(self, built: ctypes.CDLL, names: list[str]) -> None:
        self._built = built
        self._names = names
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(name)

        def call(*arguments: Any, threads: tuple[int]) -> None:
            self.calls.append(name)
            held = [_numbers(argument) for argument in arguments]
            places = (ctypes.c_void_p * len(held))(*[_place(argument) for argument in held])
            self._built[f"launch_{name}"](places, ctypes.c_uint(*threads))

        return call


def _numbers(argument: Any) -> Any:
    if isinstance(argument, torch.Tensor):
        assert argument.is_contiguous()
        return argument
    return ctypes.c_int64(argument) if isinstance(argument, int) else ctypes.c_float(argument)


def _place(argument: Any) -> int:
    return argument.data_ptr() if isinstance(argument, torch.Tensor) else ctypes.addressof(argument)
