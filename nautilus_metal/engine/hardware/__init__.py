"""What this machine says about itself: chip, memory, bandwidth, heat and memory pressure.

Each fact comes from a command, a file or a call, and from a pure parser of its answer. What the machine does not say
is None. Importing this package asks nothing.
"""

from nautilus_metal.engine.hardware.conditions import Conditions, read_conditions
from nautilus_metal.engine.hardware.facts import Hardware, describe

__all__ = ["Conditions", "Hardware", "describe", "read_conditions"]
