"""Orders as a pre-trade check sees them, in plain values, and what it says of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """What an order would do to the book.

    Attributes
    ----------
    order_id, instrument, strategy : str
        Identifiers.
    tags : tuple of str
        Of the order.
    quantity : float
        Signed: what is left to fill, or what a modification adds. NaN where it is in quote currency and no price is
        known.
    price : float or None
        The order's own, its trigger where it has no limit; None for a market order.
    reduce_only : bool
        Whether the venue lets it only reduce a position.
    closes : bool
        Whether it waits for an order of the other side, of at least its size, that it closes.
    group : tuple of str
        Orders of which one cancels the others, this one included; empty for none.
    """

    order_id: str
    instrument: str
    strategy: str
    tags: tuple[str, ...]
    quantity: float
    price: float | None
    reduce_only: bool
    closes: bool
    group: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Quantities that an order may have.

    Attributes
    ----------
    lot, least : float
        The increment, and the smallest that the venue takes; 0 for none.
    cuttable : bool
        Whether the order can still be changed before anybody has seen it.
    """

    lot: float
    least: float
    cuttable: bool


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is to become of an order or a list of orders.

    Attributes
    ----------
    reason : str or None
        Why it is denied, or trimmed; None lets it through.
    trim_to : float or None
        Quantity, without sign, to which a single order is cut; None denies it.
    always : bool
        Let it through although the trading state is REDUCING.
    """

    reason: str | None = None
    trim_to: float | None = None
    always: bool = False


Judge = Callable[[Sequence[OrderIntent], Sequence[OrderIntent], Sizes], Ruling]
