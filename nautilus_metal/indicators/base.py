"""What the indicators share: unpacking market data, counting bad prices, batch and warm-up."""

from collections.abc import Callable, Generator
from math import isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nautilus_metal.errors import InputError
from nautilus_metal.host import Bar, Indicator, QuoteTick, TradeTick, guarded, log_warning, price_type_of
from nautilus_metal.kernels.parameters import price_history
from nautilus_metal.kernels.stepping import stepping

ERRORS = (Exception, KeyboardInterrupt)  # not the end of the generator itself


class State(Protocol):
    """The mathematics of an indicator: it takes finite prices one by one, and returns its outputs."""

    @property
    def initialized(self) -> bool: ...

    def update_raw(self, price: float, /) -> Any: ...


class MetalIndicator(Indicator):
    """An indicator over one price per bar, quote tick or trade tick.

    Its outputs are plain attributes that an update sets: a strategy reads them at every bar, often more than once.

    Bars count at their close, quotes at their mid unless another `price_type` is asked for, trades at their price.

    Parameters
    ----------
    params : list
        What is shown of the indicator in its `repr`.
    make_state : callable
        Makes what takes the prices. A reset makes it anew: not every host average resets all of itself.
    price_type : PriceType or str, optional
        Price of a quote: BID, ASK or MID, as the host's `QuoteTick.extract_price` has it.

    Attributes
    ----------
    handle_bar : callable
        Updates with the close of a bar, or with its typical price where the convention says so. After an error
        another one stands in its place: look it up at every bar, as the host does.
    rejected : int
        NaN and infinite prices that were skipped since the last reset.
    """

    # Without them an attribute of an object whose class derives from 1.x's compiled one takes four times as long.
    # `handle_bar` is one as well: a backtest calls it for every bar, and no method has to be bound for that.
    __slots__ = ("_make_state", "_state", "_update", "_warming", "handle_bar", "price_type", "rejected")

    def __init__(self, params: list[Any], make_state: Callable[[], State], price_type: Any = None) -> None:
        super().__init__(params)
        self.price_type = _checked_price_type(price_type)
        self._make_state = make_state
        self._begin()
        self._listen()

    def handle_quote_tick(self, tick: QuoteTick) -> None:
        """Update with the mid of `tick`, or with its price of the `price_type` that was asked for."""
        if self.price_type is None:
            self._take((tick.bid_price.as_double() + tick.ask_price.as_double()) / 2.0)
        else:
            self._take(tick.extract_price(self.price_type).as_double())

    def handle_trade_tick(self, tick: TradeTick) -> None:
        """Update with the price of `tick`."""
        self._take(tick.price.as_double())

    def update_raw(self, value: float) -> None:
        """Update with a plain number; NaN and infinities are skipped and counted in `rejected`."""
        price = float(value)
        if isfinite(price):
            self._take(price)
        else:
            self._reject(price)

    def warm_up(self, prices: Any) -> None:
        """Feed a history, oldest first: the state is bit for bit that of updating with every price.

        Parameters
        ----------
        prices : array_like
            Shape (bars,), finite.

        Raises
        ------
        InputError
            If a value is NaN or infinite (nothing is fed then), or the shape is another one.
        """
        for price in _one_series(price_history(prices)).tolist():
            self._take(price)

    def _take_bars(self) -> Generator[None, Bar, None]:
        """Wait for bars, which `handle_bar` sends, and do with their prices what `_take` does.

        An error ends a generator: who raises one of `ERRORS` has to `_listen` anew before.
        """
        raise NotImplementedError

    def _take(self, price: float) -> None:
        """Update with a finite price, set the outputs, and note progress while `_warming`."""
        raise NotImplementedError

    def _show_nothing(self) -> None:
        """Set the outputs to what they are before the first price."""
        raise NotImplementedError

    def _begin(self) -> None:
        self._state = self._make_state()
        self._update = self._state.update_raw
        self.rejected = 0
        self._warming = True
        self._show_nothing()

    def _listen(self) -> None:
        handler = guarded(stepping(self._take_bars()), f"{type(self).__name__}.handle_bar")
        MetalIndicator.__dict__["handle_bar"].__set__(self, handler)  # a subclass may have a method of that name

    def _note_progress(self) -> None:
        """Tell the host, which reads fields of its own, how far the state has come."""
        self._set_has_inputs(True)
        if self._state.initialized:
            self._set_initialized(True)
            self._warming = False

    def _reject(self, price: float) -> None:
        self.rejected += 1
        if self.rejected == 1:
            log_warning(self.name, f"{self!r} skips prices that are not finite (was {price}), counted in `rejected`")

    def _reset(self) -> None:
        self._begin()


def _one_series(history: NDArray[np.float64]) -> NDArray[np.float64]:
    if history.ndim != 1:
        raise InputError(f"`prices` must be of shape (bars,) to warm up with, was {history.shape}")
    return history


def _checked_price_type(value: Any) -> Any:
    found = price_type_of(value)
    if value is not None and found is None:
        raise InputError(f"`price_type` must be a PriceType or the name of one, was {value!r}")
    return found
