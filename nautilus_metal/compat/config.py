"""Settings of the function API: what the user sets, what the environment says, and what each workload asks for."""

import logging
import math
import os
from dataclasses import dataclass
from typing import Any

from nautilus_metal.errors import InputError

FORCE_CPU, FRACTION, DEBUG = "FORCE_CPU_FALLBACK", "METAL_MEMORY_FRACTION", "METAL_ACCELERATION_DEBUG"
# How many times faster than the CPU, by what was measured, the device must be to get a piece of work; 0 is always.
LEVELS = {"conservative": 2.0, "balanced": 1.0, "aggressive": 0.0}
PRECISIONS = ("auto", "float32", "float64")
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Workload:
    """What one kind of work asks for, until it is told otherwise.

    Attributes
    ----------
    precision : str
        "float64" where the device has it; "auto" is float32 for Monte Carlo and the device's most exact type else.
    sampler : str
        Of Monte Carlo work.
    level : str
        A key of `LEVELS`.
    """

    precision: str = "auto"
    sampler: str = "pseudo"
    level: str = "balanced"


# What `optimize_for_*` switches on, by the kind of work that it is about; "financial_computing" is about all of them.
WORKLOADS: dict[str, Workload] = {
    "financial_computing": Workload(precision="float64", sampler="pseudo", level="balanced"),
    "monte_carlo": Workload(precision="float32", sampler="sobol", level="aggressive"),
    "matrix_operations": Workload(precision="float32", level="aggressive"),
    "technical_indicators": Workload(precision="float32", level="balanced"),
}


class MetalConfig:
    """Settings that take effect with the next call; None leaves the choice to the package.

    Attributes
    ----------
    memory_fraction : float or None
        Share in (0, 1] of the device's memory that the pool may hold: a larger allocation is refused. Where None, the
        environment variable METAL_MEMORY_FRACTION counts, and the device's default without it.
    optimization_level : str or None
        Who gets the work: "aggressive" gives all of it to the device; "balanced" what was measured to be faster there
        (all of it while nothing was measured); "conservative" what is at least twice as fast there.
    batch_size : int or None
        Paths that `simulate_price_paths_gpu` makes at a time, and samples that a new model wrapper evaluates at a
        time; as many as the memory allows where None.
    """

    def __init__(self) -> None:
        self._memory_fraction: float | None = None
        self._level: str | None = None
        self._batch_size: int | None = None
        self._workloads: dict[str, Workload] = {}

    def __repr__(self) -> str:
        names = ("memory_fraction", "optimization_level", "batch_size")
        return f"MetalConfig({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @property
    def memory_fraction(self) -> float | None:
        return environment_fraction() if self._memory_fraction is None else self._memory_fraction

    @memory_fraction.setter
    def memory_fraction(self, value: float | None) -> None:
        self._memory_fraction = None if value is None else checked_fraction("memory_fraction", value)

    @property
    def optimization_level(self) -> str | None:
        return self._level

    @optimization_level.setter
    def optimization_level(self, value: str | None) -> None:
        if value is not None and (not isinstance(value, str) or value not in LEVELS):
            raise InputError(f"`optimization_level` must be one of {', '.join(LEVELS)}, was {value!r}")
        self._level = value

    @property
    def batch_size(self) -> int | None:
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InputError(f"`batch_size` must be a whole number of at least 1, was {value!r}")
        self._batch_size = value

    def workload(self, name: str) -> Workload:
        """What counts for a kind of work now: its own settings, those of financial computing, or the defaults."""
        return self._workloads.get(name) or self._workloads.get("financial_computing") or Workload()

    def advantage(self, name: str) -> float:
        """How many times faster the device must be to get work of a kind."""
        return LEVELS[self._level or self.workload(name).level]

    def apply(self, name: str) -> Workload:
        """Switch on the settings of a workload."""
        self._workloads[name] = WORKLOADS[name]
        return WORKLOADS[name]

    def reset(self) -> None:
        """Forget everything that was set."""
        self.__init__()  # type: ignore[misc]


def checked_fraction(name: str, value: Any) -> float:
    """Return a share in (0, 1]."""
    try:
        fraction = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        fraction = math.nan
    if not 0.0 < fraction <= 1.0:
        raise InputError(f"`{name}` must be above 0 and at most 1, was {value!r}")
    return fraction


def environment_fraction() -> float | None:
    """The share that METAL_MEMORY_FRACTION gives."""
    text = os.environ.get(FRACTION, "").strip()
    return checked_fraction(FRACTION, text) if text else None


def forced_to_cpu() -> bool:
    """Whether FORCE_CPU_FALLBACK keeps everything off the device."""
    return _switch(FORCE_CPU)


def follow_debug_switch() -> None:
    """Show every message of the package where METAL_ACCELERATION_DEBUG asks for it."""
    if _switch(DEBUG):
        show_messages(logging.DEBUG)


def show_messages(level: int) -> None:
    """Let the package's messages from `level` on through, to standard error where nobody else takes them."""
    logger = logging.getLogger("nautilus_metal")
    if logger.level == logging.NOTSET or logger.level > level:
        logger.setLevel(level)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)


def _switch(name: str) -> bool:
    text = os.environ.get(name, "").strip().lower()
    if text not in _YES + _NO:
        raise InputError(f"`{name}` must be 1 or 0, was {text!r}")
    return text in _YES
