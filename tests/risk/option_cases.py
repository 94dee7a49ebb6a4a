"""Option books and a plain float64 oracle of their losses, written without the package's kernels."""

import math

import numpy as np

from nautilus_metal.kernels.tail import tail_weights
from nautilus_metal.risk import Book, Option, Position


def cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def black_scholes(option: Option, spot: float, volatility: float, expiry: float) -> float:
    """The textbook formula; the payoff where no uncertainty is left."""
    growth, discount = math.exp(-option.dividend_yield * expiry), math.exp(-option.rate * expiry)
    sign = 1.0 if option.kind == "call" else -1.0
    total = volatility * math.sqrt(expiry)
    if total <= 0:
        return max(0.0, sign * (spot * growth - option.strike * discount))
    d1 = math.log(spot * growth / (option.strike * discount)) / total + total / 2
    return sign * (spot * growth * cdf(sign * d1) - option.strike * discount * cdf(sign * (d1 - total)))


def premium(option: Option) -> float:
    return black_scholes(option, option.spot, option.volatility, option.expiry)


def loss(book: Book, returns: dict[str, float], log_volatility: dict[str, float], years: float) -> np.ndarray:
    """Loss of each position in one scenario."""
    found = []
    for position in book.positions:
        rate = 1.0 if position.currency == book.base_currency else book.xrates[position.currency]
        unit = position.quantity * position.multiplier * rate
        if position.option is None:
            found.append(-unit * position.price * math.expm1(returns[position.instrument]))
            continue
        o = position.option
        spot, volatility = o.spot * math.exp(returns[o.underlying]), o.volatility
        volatility *= math.exp(log_volatility.get(o.underlying, 0.0))
        after = black_scholes(o, spot, volatility, max(0.0, o.expiry - years))
        found.append(-unit * (after - premium(o)))
    return np.array(found)


def losses(book: Book, returns: np.ndarray, log_volatility: np.ndarray | None, years: float) -> np.ndarray:
    """Losses by scenario and position; `log_volatility` by option underlying in the order of `book.instruments`."""
    names = list(book.instruments)
    moving = [name for name in names if any(p.option and p.option.underlying == name for p in book.positions)]
    rows = []
    for j in range(returns.shape[1]):
        changes = {} if log_volatility is None else dict(zip(moving, log_volatility[:, j], strict=True))
        rows.append(loss(book, dict(zip(names, returns[:, j], strict=True)), changes, years))
    return np.array(rows)


def figures(sample: np.ndarray, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """VaR and ES of losses, and their Euler components by position."""
    total = sample.sum(axis=1)
    weights = tail_weights(len(total), levels).figures.numpy()
    order = np.argsort(-total)[: len(weights)]
    return total[order] @ weights, (sample[order].T @ weights).T


def option(kind: str = "call", strike: float = 100.0, underlying: str = "S", **terms: float) -> Option:
    defaults = {"expiry": 0.25, "volatility": 0.2, "spot": 100.0, "rate": 0.03, "dividend_yield": 0.01}
    return Option(underlying, kind, strike, **{**defaults, **terms})


def held(quantity: float, o: Option, name: str = "", multiplier: float = 1.0, currency: str = "USD") -> Position:
    return Position(name or f"{o.underlying} {o.kind} {o.strike:g}", quantity, premium(o), multiplier, currency, o)


def mixed_book() -> Book:
    """Stock, future, currency and options on three underlyings, in and out of the money, one about to expire."""
    return Book(
        [
            Position("S", 40, 100.0),
            held(-3, option("call", 105.0), multiplier=100),
            held(2, option("put", 90.0, expiry=1.5), multiplier=100),
            held(-1, option("call", 60.0, expiry=0.5), multiplier=100),
            held(4, option("put", 101.0, expiry=0.5 / 252), multiplier=10),
            Position("F", -2, 50.0, multiplier=20, currency="EUR"),
            held(7, option("put", 55.0, "F", spot=50.0, rate=0.02, dividend_yield=0.02), "F P55", 20, "EUR"),
            held(5, option("call", 1.1, "EURUSD", spot=1.08, volatility=0.08, dividend_yield=0.02), multiplier=1000),
            Position("EURUSD", 300, 1.08),
        ],
        xrates={"EUR": 1.08},
    )
