"""The option market, the ledger of its P&L, and the hedged backtest on a shortened period, end to end."""

import json
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from nautilus_trader.model import Bar

from backtests import _option_market as market_module
from backtests._option_ledger import SOURCES, Fill, ledger, marks_of
from backtests._option_market import (
    FUND,
    INDEX_BARS,
    MULTIPLIER,
    QUOTE_NS,
    SETTLE_NS,
    VIX_BARS,
    load,
    third_friday,
)
from nautilus_metal.cli import main
from nautilus_metal.errors import InputError
from nautilus_metal.kernels.implied_volatility import implied_volatility

START, END = date(2014, 1, 3), date(2014, 5, 9)  # the last day finds options of the hedge open


@pytest.fixture(scope="module")
def market():
    return load(START, END)


@pytest.fixture(scope="module")
def marks(market):
    return marks_of(market)


def test_the_index_and_the_vix_are_the_bundled_ones(market):
    import arch.data.sp500
    import arch.data.vix

    closes, vix = arch.data.sp500.load()["Close"], arch.data.vix.load()["vix"]
    for day in (0, 50, -1):
        stamp = str(market.days[day])
        assert market.index[day] == round(float(closes.loc[stamp]), 2)
        assert market.volatility[day] == pytest.approx(float(vix.loc[stamp]) / 100)
    assert market.from_vix.all()


def test_bars_are_of_the_index_before_and_of_the_real_vix_alone(market):
    bars = [one for one in market.data() if isinstance(one, Bar)]
    index = [bar for bar in bars if bar.bar_type == INDEX_BARS]
    before = [bar for bar in index if bar.ts_event < market.midnight[0]]
    assert len(before) == len(market.history) == 1_000
    assert [float(bar.close) for bar in before] == list(market.history.values())
    assert max(market.history) < market.days[0]
    assert [float(bar.close) for bar in index[1_000:]] == market.index.tolist()
    vix = [float(bar.close) for bar in bars if bar.bar_type == VIX_BARS]
    np.testing.assert_allclose(vix, 100 * market.volatility, atol=0.005)
    early = [one for one in load(date(2008, 6, 2), date(2008, 12, 31)).data() if isinstance(one, Bar)]
    assert {bar.bar_type for bar in early} == {INDEX_BARS}


def test_a_proxy_stands_in_where_there_is_no_vix():
    early = load(date(2008, 6, 2), date(2008, 12, 31))
    assert not early.from_vix.any()
    assert 0.1 < early.volatility.min() < early.volatility.max() < 1.5
    # no day's volatility knows a later return
    longer = load(date(2008, 6, 2), date(2009, 6, 30))
    np.testing.assert_array_equal(longer.volatility[: len(early.days)], early.volatility)


def test_quotes_are_of_the_stated_volatility(market):
    rows = market.quotes.sample(400, random_state=0)
    contracts = [market.contracts[i] for i in rows["contract"]]
    strike = np.array([one.strike for one in contracts])
    days = [(one.expiry - market.days[day]).days for one, day in zip(contracts, rows["day"], strict=True)]
    years = (np.array(days) - 30 / 86_400) / 365.25
    spot, level = market.index[rows["day"]], market.volatility[rows["day"]]
    moneyness = np.clip(np.log(strike / spot) / (level * np.sqrt(np.maximum(years, 1 / 365.25))), -3, 3)
    stated = level * (1 - 0.10 * moneyness + 0.02 * moneyness**2)
    np.testing.assert_allclose(rows["volatility"], stated, rtol=1e-12)
    kinds = torch.tensor([one.sign for one in contracts], dtype=torch.float64)
    columns = [torch.tensor(np.asarray(each)) for each in (rows["mid"], spot, strike, years)]
    found = implied_volatility(*columns, 0.0, 0.0, kinds).volatility.numpy()
    near = rows["vega"].to_numpy() > 50  # a cent of rounding is less than 0.0002 of volatility
    np.testing.assert_allclose(found[near], stated[near], atol=2e-4)
    assert near.sum() > 100
    assert (rows["bid"] < rows["ask"]).all()
    assert (rows["bid"] > 0).all()


def test_a_strike_is_listed_only_when_the_index_has_come_near(market):
    for contract in market.contracts:
        assert abs(contract.strike / market.index[contract.first] - 1) <= 0.06
        assert contract.expiry > market.days[contract.first]
        assert contract.strike % 25 == 0
    later = load(START, date(2014, 8, 29))
    known = {(c.name, c.first) for c in market.contracts}
    assert known == {(c.name, c.first) for c in later.contracts if c.first < len(market.days)}


def test_expiries_are_third_fridays_or_the_trading_day_before(market):
    assert third_friday(2014, 4) == date(2014, 4, 18)  # Good Friday
    found = {contract.expiry for contract in market.contracts}
    assert {date(2014, 1, 17), date(2014, 4, 17), date(2014, 5, 16), date(2014, 6, 20)} <= found


def random_fills(market, marks, seed: int) -> list[Fill]:
    draw = np.random.default_rng(seed)
    fills = []
    for _ in range(40):
        column = int(draw.integers(0, len(market.contracts) + 1))
        quoted = np.flatnonzero(np.isfinite(marks.price[:, column]))
        if len(quoted) < 3:
            continue
        first, last = np.sort(draw.choice(quoted, 2, replace=False)).tolist()
        name = next(key for key, value in marks.column.items() if value == column)
        quantity = float(draw.integers(-20, 20))
        for day, sign in ((first, 1.0), (last, -1.0)):
            price = marks.price[day, column] + draw.normal()
            ts = int(market.midnight[day]) + QUOTE_NS
            fills.append(Fill(ts, name, "S", sign * quantity, price, float(draw.uniform(0, 2))))
    return sorted(fills, key=lambda fill: fill.ts)


@pytest.mark.parametrize("seed", range(5))
def test_sources_add_up_to_what_cash_and_marks_say(market, marks, seed):
    fills = random_fills(market, marks, seed)
    book = ledger(fills, market, marks)
    cash = -sum(f.quantity * f.price * (1 if f.instrument == str(FUND) else MULTIPLIER) + f.commission for f in fills)
    assert book.pnl.sum() == pytest.approx(cash, abs=1e-6)
    assert book.cash == pytest.approx(cash, abs=1e-6)
    assert book.value == 0.0
    for day in (10, 40, 80):
        end = int(market.midnight[day]) + QUOTE_NS
        known = [fill for fill in fills if fill.ts <= end]
        held: dict[str, float] = {}
        worth = 0.0
        for fill in known:
            size = 1 if fill.instrument == str(FUND) else MULTIPLIER
            worth -= fill.quantity * fill.price * size + fill.commission
            held[fill.instrument] = held.get(fill.instrument, 0.0) + fill.quantity * size
        worth += sum(size * marks.price[day, marks.column[name]] for name, size in held.items() if size)
        assert book.pnl[: day + 1].sum() == pytest.approx(worth, abs=1e-6)


def test_each_source_by_hand(market, marks):
    column = next(i + 1 for i, c in enumerate(market.contracts) if c.expiry == date(2014, 3, 21) and c.first == 0)
    name = f"{market.contracts[column - 1].name}.SIM"
    ts = int(market.midnight[5]) + QUOTE_NS
    book = ledger([Fill(ts, name, "S", -2.0, marks.price[5, column] - 0.4, 3.0)], market, marks)
    move, step = market.index[6] - market.index[5], (market.days[6] - market.days[5]).days / 365.25
    expected = [
        -200 * marks.delta[5, column] * move,
        -100 * marks.gamma[5, column] * move**2,
        -200 * marks.vega[5, column] * (marks.volatility[6, column] - marks.volatility[5, column]),
        -200 * marks.theta[5, column] * step,
    ]
    np.testing.assert_allclose(book.parts[6, :4], expected, rtol=1e-12)
    assert book.parts[5].tolist() == pytest.approx([0, 0, 0, 0, -200 * 0.4 - 3.0, 0])
    total = -200 * (marks.price[6, column] - marks.price[5, column])
    assert book.parts[6].sum() == pytest.approx(total)
    assert abs(book.parts[6, 5]) < 0.05 * np.abs(expected).sum()
    assert tuple(SOURCES) == ("delta", "gamma", "vega", "theta", "costs", "rest")


@pytest.mark.parametrize("dates", [(date(2018, 12, 1), None), (date(2019, 1, 2), None), (None, date(2013, 1, 1))])
def test_too_few_days_are_refused(dates):
    with pytest.raises(InputError, match="must leave at least 60 days of the data"):
        load(*dates)


class Text(HTMLParser):
    """Collects a page's words, and every address that it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag, attrs) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.mark.slow
def test_option_hedge_end_to_end(tmp_path, capsys, monkeypatch, device):
    from backtests import option_hedge

    seen = {}
    execute = option_hedge.execute

    def kept(market, marks, target, options):
        seen[target] = (market, marks, execute(market, marks, target, options))
        return seen[target][2]

    monkeypatch.setattr(option_hedge, "execute", kept)
    options = option_hedge.BacktestOptions(
        "option_hedge",
        device=device,
        models=("filtered_historical",),
        start=START,
        end=END,
        out=tmp_path,
        scenarios=2_000,
    )
    assert option_hedge.run(options) == 0
    facts = json.loads((tmp_path / "summary.json").read_text())
    printed = capsys.readouterr()
    assert " hedges/s" in printed.err
    page = Text()
    page.feed((tmp_path / "report.html").read_text())
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    for text in (printed.out, " ".join(page.words), facts["warning"]):
        assert "OPTION QUOTES ARE SYNTHETIC" in text
    assert not page.addresses
    assert facts["goal"] == 0.75
    assert set(facts["removed"]) == {"delta", "delta_gamma_vega", "minimum_variance", "minimum_es"}
    for hedge in ("delta_gamma_vega", "minimum_variance", "minimum_es"):
        assert facts["removed"][hedge] > 0.75
    assert 0.3 < facts["removed"]["delta"] < facts["removed"]["delta_gamma_vega"]
    held: set[str] = set()
    for hedge, (market, marks, outcome) in seen.items():
        _check_run(market, marks, outcome)
        held.update(open_at_the_end(outcome.fills))
        gap = facts["account_less_attribution"][hedge]
        assert abs(gap) < 0.005 * len(outcome.fills)  # every fill's amount is rounded to a cent
        book = facts["attribution"][hedge]
        assert sum(book[name] for name in SOURCES) == pytest.approx(book["total"])
        assert book["costs"] < 0
        pnl = ledger(outcome.fills, market, marks).pnl
        assert facts["measures"][hedge]["standard_deviation"] == pytest.approx(np.std(pnl))
        assert facts["measures"][hedge]["total"] == pytest.approx(pnl.sum())
    assert held  # so that the account's options have been marked


def open_at_the_end(fills: list[Fill]) -> set[str]:
    """Options of which something is left."""
    names = {fill.instrument for fill in fills} - {str(FUND)}
    return {name for name in names if sum(fill.quantity for fill in fills if fill.instrument == name)}


def _check_run(market, marks, outcome) -> None:
    """Straddles are held to expiry and settled at their payoff; limits hold; nothing works twice."""
    sold = [fill for fill in outcome.fills if fill.strategy == "ShortStraddle-SELL"]
    opened = [fill for fill in sold if fill.quantity < 0]
    closed = [fill for fill in sold if fill.quantity > 0]
    assert len(opened) == len(closed) >= 6
    by_name = {f"{contract.name}.SIM": contract for contract in market.contracts}
    for fill in closed:
        contract = by_name[fill.instrument]
        day = market.days.index(contract.expiry)
        assert fill.ts == int(market.midnight[day]) + SETTLE_NS
        assert fill.price == pytest.approx(max(contract.sign * (market.index[day] - contract.strike), 0), abs=1e-9)
    held: dict[str, float] = {}
    for fill in outcome.fills:
        if fill.strategy != "ShortStraddle-SELL":
            held[fill.instrument] = held.get(fill.instrument, 0.0) + fill.quantity
            assert abs(held[fill.instrument]) <= (100_000 if fill.instrument == str(FUND) else 500)
    assert outcome.counts["requests"] == outcome.counts["executed"] + outcome.counts["refused"]
    assert {request.status for request in outcome.requests} <= {"hedged", "infeasible"}


@pytest.mark.slow
def test_the_command_lists_and_runs_it(tmp_path, capsys):
    assert main(["backtest"]) == 0
    assert "option_hedge" in capsys.readouterr().out
    command = ["backtest", "option_hedge", "--start", "2014-01-03", "--end", "2014-01-10", "--out", str(tmp_path)]
    assert main([*command, "--quiet"]) == 2
    assert "must leave at least 60 days" in capsys.readouterr().err
    assert market_module.LEAST_DAYS == 60


def test_hedges_fitted_on_scenarios_run_where_a_model_is_named():
    from backtests import option_hedge

    plain = option_hedge.chosen(option_hedge.BacktestOptions("option_hedge"))
    named = option_hedge.chosen(option_hedge.BacktestOptions("option_hedge", models=("normal",)))
    assert list(plain) == ["unhedged", "delta", "delta_gamma_vega"]
    assert list(named) == [*plain, "minimum_variance", "minimum_es"]
