"""The errors that this package raises, all derived from `MetalError`."""


class MetalError(Exception):
    """Base class of every error that `nautilus_metal` raises itself."""


class InputError(MetalError, ValueError):
    """An argument is outside what the function is defined for.

    The message names the argument, the requirement and the value that came.
    """


class DeviceError(MetalError, RuntimeError):
    """A compute device is missing, or failed during an operation."""


class OutOfDeviceMemory(DeviceError, MemoryError):
    """An allocation would exceed the budget of the memory pool, or the device itself refused it."""


class TeamError(MetalError, RuntimeError):
    """Processes that share a piece of work have lost one another: there is no outcome, and the message says why."""


class Cancelled(MetalError):
    """The work was given up on request, at the next kernel boundary."""


class TrainingError(MetalError, ArithmeticError):
    """A training cannot go on: its loss is not finite. The message says where that began."""


class HostError(MetalError, NotImplementedError):
    """The installed NautilusTrader lacks what was asked for. The message says what, and which version has it."""
