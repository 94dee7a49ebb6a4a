"""Contracts and their prices by QuantLib, which the tests of option prices share."""

import QuantLib as ql  # noqa: N813

from nautilus_metal.engine import ComputeEngine
from nautilus_metal.risk.pricing import OptionPrice, price_option

TODAY = ql.Date(2, 1, 2025)
DAYS = ql.Actual365Fixed()
MARKET = {"spot": 100.0, "strike": 105.0, "expiry": 1.0, "rate": 0.05, "volatility": 0.25, "dividend_yield": 0.02}
JUMPS = {"model": "merton", "jump_intensity": 0.6, "jump_mean": -0.1, "jump_std": 0.15}
HESTON = {
    "model": "heston",
    "mean_reversion": 1.5,
    "long_run_volatility": 0.3,
    "volatility_of_variance": 0.6,
    "spot_correlation": -0.6,
}
GREEKS = ("delta", "gamma", "vega", "theta", "rho")
CPU = ComputeEngine("cpu", precision="float64")
SIDES = {"call": ql.Option.Call, "put": ql.Option.Put}
LIMIT = 4.0  # standard errors; one figure in 16,000 is beyond


def ours(kind="call", style="european", **changes) -> OptionPrice:
    return price_option(kind, style, **({"engine": CPU, "num_simulations": 40_000, "seed": 11} | MARKET | changes))


def process(**changes):
    ql.Settings.instance().evaluationDate = TODAY
    m = MARKET | changes
    flat = {n: ql.YieldTermStructureHandle(ql.FlatForward(TODAY, m[n], DAYS)) for n in ("rate", "dividend_yield")}
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(TODAY, ql.NullCalendar(), m["volatility"], DAYS))
    spot = ql.QuoteHandle(ql.SimpleQuote(m["spot"]))
    return ql.BlackScholesMertonProcess(spot, flat["dividend_yield"], flat["rate"], vol)


def heston_model():
    p = process()
    h = HESTON
    args = (MARKET["volatility"] ** 2, h["mean_reversion"], h["long_run_volatility"] ** 2)
    return ql.HestonModel(
        ql.HestonProcess(
            p.riskFreeRate(),
            p.dividendYield(),
            p.stateVariable(),
            *args,
            h["volatility_of_variance"],
            h["spot_correlation"],
        )
    )


def payoff(kind, strike=MARKET["strike"]):
    return ql.PlainVanillaPayoff(SIDES[kind], strike)


def at_expiry():
    return ql.EuropeanExercise(TODAY + 365)


def fixings(count):
    return [TODAY + 365 * k // count for k in range(1, count + 1)]


def value(option, engine):
    option.setPricingEngine(engine)
    return option.NPV()


def vanilla(kind):
    return value(ql.VanillaOption(payoff(kind), at_expiry()), ql.AnalyticEuropeanEngine(process()))


def digital(kind):
    option = ql.VanillaOption(ql.CashOrNothingPayoff(SIDES[kind], MARKET["strike"], 10.0), at_expiry())
    return value(option, ql.AnalyticEuropeanEngine(process()))


def geometric(kind):
    option = ql.DiscreteAveragingAsianOption(ql.Average.Geometric, 1.0, 0, fixings(73), payoff(kind), at_expiry())
    return value(option, ql.AnalyticDiscreteGeometricAveragePriceAsianEngine(process()))


def arithmetic(kind):
    option = ql.DiscreteAveragingAsianOption(ql.Average.Arithmetic, 0.0, 0, fixings(5), payoff(kind), at_expiry())
    simulation = ql.MCDiscreteArithmeticAPEngine(
        process(), "lowdiscrepancy", controlVariate=True, requiredSamples=2**15 - 1, seed=7
    )
    return value(option, simulation)


def barrier(kind, level, sort):
    sorts = {
        "up_and_out": ql.Barrier.UpOut,
        "up_and_in": ql.Barrier.UpIn,
        "down_and_out": ql.Barrier.DownOut,
        "down_and_in": ql.Barrier.DownIn,
    }
    option = ql.BarrierOption(sorts[sort], level, 0.0, payoff(kind), at_expiry())
    return value(option, ql.AnalyticBarrierEngine(process()))


def fixed_lookback(kind):
    option = ql.ContinuousFixedLookbackOption(MARKET["spot"], payoff(kind), at_expiry())
    return value(option, ql.AnalyticContinuousFixedLookbackEngine(process()))


def floating_lookback(kind):
    option = ql.ContinuousFloatingLookbackOption(MARKET["spot"], ql.FloatingTypePayoff(SIDES[kind]), at_expiry())
    return value(option, ql.AnalyticContinuousFloatingLookbackEngine(process()))


def two_assets(basket_payoff):
    option = ql.BasketOption(basket_payoff, at_expiry())
    second = process(spot=90.0, volatility=0.35)
    return value(option, ql.Fd2dBlackScholesVanillaEngine(process(), second, 0.4, 200, 200, 100))


def spread(kind):
    return two_assets(ql.SpreadBasketPayoff(payoff(kind, 8.0)))


def basket(kind):
    return two_assets(ql.AverageBasketPayoff(payoff(kind, 95.0), [0.5, 0.5]))


def merton(kind):
    """Bates' model with a variance that stays where it is."""
    p, v = process(), MARKET["volatility"] ** 2
    jumps = [JUMPS[name] for name in ("jump_intensity", "jump_mean", "jump_std")]
    still = ql.BatesProcess(p.riskFreeRate(), p.dividendYield(), p.stateVariable(), v, 1.0, v, 1e-4, 0.0, *jumps)
    return value(ql.VanillaOption(payoff(kind), at_expiry()), ql.BatesEngine(ql.BatesModel(still), 160))


def heston(kind):
    return value(ql.VanillaOption(payoff(kind), at_expiry()), ql.AnalyticHestonEngine(heston_model(), 160))


def heston_barrier(kind):
    option = ql.BarrierOption(ql.Barrier.DownOut, 80.0, 0.0, payoff(kind), at_expiry())
    return value(option, ql.FdHestonBarrierEngine(heston_model(), 100, 200, 80))


PAIR = {"spot": (100.0, 90.0), "volatility": (0.25, 0.35), "correlation": 0.4}

# style, what is asked for, QuantLib's price, and the error of that or of the scheme's time step
CONTRACTS = [
    ("european", {}, vanilla, 0.0),
    ("digital", {"payout": 10.0}, digital, 0.0),
    ("asian", {"average": "geometric", "observations": 73}, geometric, 0.0),
    ("asian", {"observations": 5}, arithmetic, 1e-3),
    ("barrier", {"barrier": 130.0, "barrier_type": "up_and_out"}, lambda k: barrier(k, 130.0, "up_and_out"), 0.0),
    ("barrier", {"barrier": 130.0, "barrier_type": "up_and_in"}, lambda k: barrier(k, 130.0, "up_and_in"), 0.0),
    ("barrier", {"barrier": 85.0, "barrier_type": "down_and_out"}, lambda k: barrier(k, 85.0, "down_and_out"), 0.0),
    ("barrier", {"barrier": 85.0, "barrier_type": "down_and_in"}, lambda k: barrier(k, 85.0, "down_and_in"), 0.0),
    ("lookback", {}, fixed_lookback, 0.0),
    ("lookback", {"lookback_type": "floating", "strike": None}, floating_lookback, 0.0),
    ("spread", PAIR | {"strike": 8.0}, spread, 5e-3),
    ("basket", PAIR | {"strike": 95.0, "weights": (0.5, 0.5)}, basket, 5e-3),
    ("european", JUMPS, merton, 0.0),
    ("european", HESTON, heston, 5e-3),
    ("barrier", HESTON | {"barrier": 80.0, "barrier_type": "down_and_out", "steps": 32}, heston_barrier, 3e-2),
]
