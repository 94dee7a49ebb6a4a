"""What working orders make of a book: the changes that a risk gate asks about."""

import math
from collections.abc import Iterable, Mapping, Sequence

from nautilus_metal.host import OrderIntent

Changes = dict[str, float]

_NONE = (0.0, 0.0)


def reducing_part(intent: OrderIntent, held: float, working: Sequence[OrderIntent]) -> float:
    """How much of an order, without sign, can only bring a position nearer to nothing.

    All of it if it is reduce-only or closes an order of its own list; else what is against the position and, with the
    working orders of its side that are not, no larger than it.

    Parameters
    ----------
    intent : OrderIntent
        The order.
    held : float
        Signed quantity of its instrument.
    working : sequence of OrderIntent
        Other orders.
    """
    size = abs(intent.quantity)
    if intent.reduce_only or intent.closes:
        return size
    if not intent.quantity * held < 0:
        return 0.0
    bought, sold = _sides(one for one in working if one.instrument == intent.instrument).get(intent.instrument, _NONE)
    return min(size, max(0.0, abs(held) - (bought if intent.quantity > 0 else sold)))


def cases(
    holdings: Mapping[str, float],
    known: Mapping[str, float],
    working: Sequence[OrderIntent],
    intents: Sequence[OrderIntent],
) -> list[Changes]:
    """Changes of a book of `known` quantities that orders and fills since then may have made without `intents`.

    The first case has every working order filled. The second one has, by instrument, only those of the side that
    makes the larger position, and for what is asked about those of the side that is asked for: an order that may
    not fill gives no relief. It is left out where it is the same.

    Parameters
    ----------
    holdings, known : mapping of str to float
        Signed quantities by instrument: held now, and in the book that the risk was computed of.
    working : sequence of OrderIntent
        Orders that may fill.
    intents : sequence of OrderIntent
        What is asked about.
    """
    moved = {name: holdings.get(name, 0.0) - known.get(name, 0.0) for name in {**known, **holdings}}
    asked = {intent.instrument: intent.quantity for intent in intents}
    every, adverse = dict(moved), dict(moved)
    for name, (bought, sold) in _sides(working).items():
        held = holdings.get(name, 0.0)
        long_side = asked[name] > 0 if name in asked else abs(held + bought) >= abs(held - sold)
        every[name] = every.get(name, 0.0) + bought - sold
        adverse[name] = adverse.get(name, 0.0) + (bought if long_side else -sold)
    found = [{name: change for name, change in case.items() if change} for case in (every, adverse)]
    return found[:1] if found[0] == found[1] else found


def asked_for(intents: Iterable[OrderIntent]) -> Changes:
    """Changes that orders make where they fill, of a group whose orders cancel each other the largest."""
    changes: Changes = {}
    for intent in _one_of_each_group(intents):
        changes[intent.instrument] = changes.get(intent.instrument, 0.0) + intent.quantity
    return changes


def worth(intent: OrderIntent, held: float, price: float | None) -> float:
    """How much an order's own price makes of one unit, in units at the last price.

    An order that adds to a position counts at the dearer of its own price and the last one; one against it at one.
    """
    if intent.price is None or not price or price < 0 or intent.quantity * held < 0:
        return 1.0
    return max(1.0, intent.price / price)


def whole_lots(quantity: float, lot: float | None) -> float:
    """Round a quantity without sign down to lots; what is a thousandth of one short counts as whole."""
    return quantity if lot is None or lot <= 0 else round(math.floor(quantity / lot + 1e-3) * lot, 12)


def _sides(working: Iterable[OrderIntent]) -> dict[str, tuple[float, float]]:
    """By instrument, quantities of working buys and sells that may change a position, both without sign."""
    sides: dict[str, tuple[float, float]] = {}
    for one in _one_of_each_group(one for one in working if not (one.reduce_only or one.closes)):
        bought, sold = sides.get(one.instrument, _NONE)
        sides[one.instrument] = bought + max(one.quantity, 0.0), sold + max(-one.quantity, 0.0)
    return sides


def _one_of_each_group(intents: Iterable[OrderIntent]) -> list[OrderIntent]:
    chosen: dict[tuple[str, ...], OrderIntent] = {}
    for intent in intents:
        key = intent.group or (intent.order_id,)
        if key not in chosen or abs(intent.quantity) > abs(chosen[key].quantity):
            chosen[key] = intent
    return list(chosen.values())
