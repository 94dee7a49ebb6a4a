"""Array libraries with numpy's names, for the sides that are compared."""

import os
from importlib import import_module
from typing import Any


def array_library(name: str) -> Any:
    """Import ``numpy``, ``cupy`` or ``jax.numpy``, ready for a fair comparison beside other processes.

    JAX would keep three quarters of a GPU's memory for itself, and multiply matrices with ten bits.
    """
    if name.startswith("jax"):
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import_module("jax").config.update("jax_default_matmul_precision", "highest")
    return import_module(name)
