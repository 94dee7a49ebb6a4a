"""The demonstration runs whole and small, and what it prints is what was computed."""

import io
import re
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest
import talib

from nautilus_metal.cli import main
from nautilus_metal.cli.demo_parts import PARTS, load_market
from nautilus_metal.cli.demo_table import demo_cases
from nautilus_metal.compat import metal_device_manager

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts() -> dict[str, str]:
    """What a quick run printed, by the part's title."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("METAL_ACCELERATION_DEBUG", "METAL_MEMORY_FRACTION", "FORCE_CPU_FALLBACK"):
            patch.delenv(name, raising=False)
        with redirect_stdout(io.StringIO()) as printed:
            assert main(["demo", "--quick"]) == 0
    pieces = re.split(r"^\[(\d+)/(\d+)\] (.*)$", printed.getvalue(), flags=re.MULTILINE)
    assert [int(number) for number in pieces[1::4]] == list(range(1, len(PARTS) + 1))
    assert set(pieces[2::4]) == {str(len(PARTS))}
    return dict(zip(pieces[3::4], pieces[4::4], strict=True))


def test_every_part_is_shown_in_order_with_its_time(parts):
    assert list(parts) == [title for title, _ in PARTS]
    assert all(re.search(r"^  \(\d+\.\d s\)$", text, re.MULTILINE) for text in parts.values())
    assert re.search(rf"All {len(PARTS)} parts in \d+\.\d s", parts[PARTS[-1][0]])


def test_hardware(parts):
    assert f"computing on    {metal_device_manager.device()}" in parts["Hardware"]


def test_options_are_within_their_errors(parts):
    text = parts["Option pricing with Greeks, against the closed form"]
    rows = re.findall(r"^  (price|delta|gamma|vega|theta|rho) +(\S+) +(\S+) +(\S+) +(\S+)$", text, re.MULTILINE)
    assert len(rows) == 6
    for name, simulated, error, exact, off in rows:
        assert abs(float(off)) < 4.5, name
        assert abs(float(simulated) - float(exact)) < 5 * float(error) + 1e-5, name
    assert "20,000 paths" in text


def test_indicators_are_those_of_the_prices(parts):
    text = parts["Technical indicators on real prices"]
    market = load_market(600)
    name, close, rsi = re.search(r"^  (\w+) +(\d+\.\d\d) +(\d+\.\d\d) ", text, re.MULTILINE).groups()
    history = np.ascontiguousarray(market.closes[:, market.names.index(name)])
    assert float(close) == pytest.approx(history[-1], abs=0.006)
    assert float(rsi) == pytest.approx(talib.RSI(history, 14)[-1], abs=0.02)


def test_the_training_is_judged_on_days_after_it(parts):
    text = parts["A short training"]
    learnt, stopped, judged = (int(n.replace(",", "")) for n in re.search(
        r"([\d,]+) samples to learn from, ([\d,]+) to stop by, the last ([\d,]+) to judge by", text
    ).groups())  # fmt: skip
    assert learnt + stopped + judged == 2_000
    assert min(learnt, stopped, judged) >= 200
    losses = [float(loss) for loss in re.search(r"by epoch ((?:\d\.\d+ ?)+);", text)[1].split()]
    assert int(re.search(r"the best is epoch (\d+)", text)[1]) == 1 + int(np.argmin(losses))
    errors = dict(re.findall(r"^  (model|last price|last return|mean return) +root mean squared error (\S+?);?$",
                             re.sub(r"; the network.*", "", text), re.MULTILINE))  # fmt: skip
    assert len(errors) == 4
    market = load_market(600)
    actual = np.diff(np.log(market.closes), axis=0)[-judged // 20 :]
    assert float(errors["last price"]) == pytest.approx(np.sqrt((actual**2).mean()), abs=2e-6)


def test_portfolios_are_optimal_and_better_at_what_they_minimise(parts):
    text = parts["Portfolio optimisation"]
    rows = {
        name: (float(volatility), float(shortfall))
        for name, volatility, shortfall in re.findall(
            r"^  (\(equal weights\)|\w+) +-?[\d.]+% +([\d.]+)% +([\d.]+)% ", text, re.MULTILINE
        )
    }
    assert len(rows) == 6
    assert len(re.findall(" optimal ", text)) == 5
    assert rows["minimum_variance"][0] == min(volatility for volatility, _ in rows.values())
    assert rows["minimum_cvar"][1] == min(shortfall for _, shortfall in rows.values())


def test_memory_is_lent_again_refused_and_given_back(parts):
    text = parts["Memory pool"]
    assert "found as it was left: True" in text
    assert "lent again" in text
    assert "over the budget         refused: 32.0 MB requested" in text
    before, after = map(float, re.search(r"given back +([\d.]+) to ([\d.]+) MiB", text).groups())
    assert before - after >= 20.0
    assert metal_device_manager.config.memory_fraction is None


def test_the_table_compares_with_the_fastest_on_the_cpu(parts):
    text = parts["GPU against CPU on this machine"]
    for case in demo_cases():
        times = r".* \d+\.\d{3}  .+  +\d+\.\d{3} +\d+\.\d\d$"
        assert re.search(rf"^  {case.title} {times}", text, re.MULTILINE), case.title
    here = metal_device_manager.device()
    assert f"{here} ms" in text
    assert ("no GPU is used here" in text) is (here.type == "cpu")
    assert "answers differ" not in text


def test_missing_prices_are_said_in_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio.datasets", None)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "nautilus-metal: the demonstration's prices come with skfolio: pip install 'nautilus_metal[examples]'\n"
    )
