"""Compile the simulator once and keep the result outside the repository.

The library lands in the user's cache (`~/.cache/nautilus_metal/mps_sim`), or in the folder that the environment
variable MPS_SIM_BUILD_DIR names. Its file name holds the Python version, the torch version and a digest of the
sources, so changing any of them leads to a new build. Processes that start at the same time wait for one of them.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [ROOT / "src" / "device.cpp", ROOT / "src" / "dispatch.cpp"]
HEADERS = [ROOT / "src" / "sim.h"]
FLAGS = ["-std=c++20", "-O1", "-fPIC"]


def library() -> Path:
    """Return the compiled library; build it first if need be."""
    import torch

    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in SOURCES + HEADERS:
        digest.update(path.read_bytes())
    folder = _folder()
    target = folder / f"mps_sim-{sys.implementation.cache_tag}-torch{torch.__version__}-{digest.hexdigest()[:12]}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the system even if this process dies
        if not target.exists():
            abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}"
            _compile(Path(torch.__file__).parent, [*FLAGS, abi], target)
    return target


def _folder() -> Path:
    chosen, cache = os.environ.get("MPS_SIM_BUILD_DIR"), os.environ.get("XDG_CACHE_HOME")
    return Path(chosen) if chosen else Path(cache or Path.home() / ".cache") / "nautilus_metal" / "mps_sim"


def _compile(torch_folder: Path, flags: list[str], target: Path) -> None:
    compiler = os.environ.get("CXX", "g++")
    headers = torch_folder / "include"
    includes = ["-isystem", str(headers), "-isystem", str(headers / "torch" / "csrc" / "api" / "include")]
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        objects = [str(Path(scratch, source.stem + ".o")) for source in SOURCES]
        steps = [
            [compiler, *flags, *includes, "-c", str(source), "-o", out]
            for source, out in zip(SOURCES, objects, strict=True)
        ]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        try:
            running = [subprocess.Popen(step, **output) for step in steps]
        except FileNotFoundError:
            raise RuntimeError(f"mps_sim needs the C++ compiler {compiler!r} (set CXX to use another one)") from None
        for step, process in zip(steps, running, strict=True):
            _check(step, process.communicate()[0], process.returncode)
        # No search path for the torch libraries: they are loaded already when this library is.
        finished = Path(scratch, "finished.so")
        link = [
            compiler,
            "-shared",
            *objects,
            "-o",
            str(finished),
            f"-L{torch_folder / 'lib'}",
            "-ltorch_cpu",
            "-lc10",
        ]
        result = subprocess.run(link, **output)
        _check(link, result.stdout, result.returncode)
        os.replace(finished, target)


def _check(command: list[str], output: str, returncode: int) -> None:
    if returncode:
        raise RuntimeError(f"mps_sim could not be built:\n{' '.join(command)}\n{output}")


if __name__ == "__main__":
    print(library())
