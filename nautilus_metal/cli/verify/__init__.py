"""`nautilus-metal doctor --verify`: every kernel on the device of this machine against float64 on its processor."""

from nautilus_metal.cli.verify.check import Check, Finding, examine
from nautilus_metal.cli.verify.command import CHECKS, verify

__all__ = ["CHECKS", "Check", "Finding", "examine", "verify"]
