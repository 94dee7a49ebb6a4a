"""Memory bandwidth of Apple's chips as Apple published it, one row each; a new chip is a new row."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip by the name that it gives itself.

    Attributes
    ----------
    name : str
        As ``sysctl machdep.cpu.brand_string`` prints it.
    gpu_cores : int or None
        The variant that the row is about; None where all variants have the same bandwidth.
    bandwidth : float
        Of the unified memory, in GB/s (1e9 bytes).
    source : str
        Where Apple says so.
    """

    name: str
    gpu_cores: int | None
    bandwidth: float
    source: str


_SPECS_M3 = "Apple, MacBook Pro (November 2023), technical specifications"
_SPECS_M4 = "Apple, MacBook Pro (2024), technical specifications"
_SPECS_M5 = "Apple, MacBook Pro (2026), technical specifications"

CHIPS: tuple[Chip, ...] = (
    Chip("Apple M1", None, 68.0, "128 bits of LPDDR4X-4266; Apple newsroom, 6 June 2022: M2 has half as much again"),
    Chip("Apple M1 Pro", None, 200.0, "Apple newsroom, 18 October 2021"),
    Chip("Apple M1 Max", None, 400.0, "Apple newsroom, 18 October 2021"),
    Chip("Apple M1 Ultra", None, 800.0, "Apple newsroom, 8 March 2022"),
    Chip("Apple M2", None, 100.0, "Apple newsroom, 6 June 2022"),
    Chip("Apple M2 Pro", None, 200.0, "Apple newsroom, 17 January 2023"),
    Chip("Apple M2 Max", None, 400.0, "Apple newsroom, 17 January 2023"),
    Chip("Apple M2 Ultra", None, 800.0, "Apple newsroom, 5 June 2023"),
    Chip("Apple M3", None, 100.0, _SPECS_M3),
    Chip("Apple M3 Pro", None, 150.0, _SPECS_M3),
    Chip("Apple M3 Max", 30, 300.0, _SPECS_M3),
    Chip("Apple M3 Max", 40, 400.0, _SPECS_M3),
    Chip("Apple M3 Ultra", None, 819.0, "Apple newsroom, 5 March 2025"),
    Chip("Apple M4", None, 120.0, "Apple newsroom, 7 May 2024"),
    Chip("Apple M4 Pro", None, 273.0, "Apple newsroom, 30 October 2024"),
    Chip("Apple M4 Max", 32, 410.0, _SPECS_M4),
    Chip("Apple M4 Max", 40, 546.0, _SPECS_M4),
    Chip("Apple M5", None, 153.0, "Apple newsroom, 15 October 2025"),
    Chip("Apple M5 Pro", None, 307.0, "Apple newsroom, 3 March 2026"),
    Chip("Apple M5 Max", 32, 460.0, _SPECS_M5),
    Chip("Apple M5 Max", 40, 614.0, _SPECS_M5),
)


def find_chip(name: str | None, gpu_cores: int | None) -> Chip | None:
    """Find the row of a chip; None for one that is not in the table, or whose variant is not known.

    Examples
    --------
    >>> find_chip("Apple M4 Max", 40).bandwidth
    546.0
    >>> find_chip("Apple M4 Max", None) is None
    True
    """
    return next((row for row in CHIPS if row.name == name and row.gpu_cores in (None, gpu_cores)), None)
