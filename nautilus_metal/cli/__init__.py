"""The `nautilus-metal` command."""

from nautilus_metal.cli.main import main

__all__ = ["main"]
