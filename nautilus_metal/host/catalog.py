"""Messages in the installed NautilusTrader's data catalog; apart from the rest of the room, as it loads so much."""

from typing import TYPE_CHECKING

from nautilus_metal.host.version import MAJOR

if TYPE_CHECKING or MAJOR == 1:
    from nautilus_metal.host.v1_catalog import read_closes, read_streamed, read_written, write_prices
else:
    from nautilus_metal.host.v2_catalog import read_closes, read_streamed, read_written, write_prices

__all__ = ["read_closes", "read_streamed", "read_written", "write_prices"]
