"""The compiled loops give the eager kernels' numbers, TA-Lib's and those of the streaming states, or are not used."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus_metal.engine import ComputeEngine, fused, fused_histories
from nautilus_metal.engine.cancel import CancelToken, cancellable
from nautilus_metal.engine.fused_histories import (
    LEAST,
    LOOPS,
    Loop,
    Wanted,
    _place_in_lines,
    fill_histories,
    fused_history,
    fused_once,
)  # fmt: skip
from nautilus_metal.engine.pool_arrays import line_array
from nautilus_metal.errors import Cancelled, DeviceError, InputError
from nautilus_metal.kernels.bollinger import bollinger_bands
from nautilus_metal.kernels.lanes import eights
from nautilus_metal.kernels.macd import MacdState
from nautilus_metal.kernels.rsi import RsiState
from nautilus_metal.kernels.windows import WindowState

talib = pytest.importorskip("talib")
numba = pytest.importorskip("numba")

NAMES = pytest.mark.parametrize("name", LOOPS)
SETTINGS = {
    "rsi": [(14,), (1,), (2,), (50,)],
    "macd": [(12, 26, 9), (1, 2, 1), (3, 10, 4)],
    "bollinger": [(20, 2.0), (1, 0.5), (2, 1.0), (50, 2.5)],
}
CASES = [(name, one) for name, rows in SETTINGS.items() for one in rows]


@pytest.fixture
def cpu():
    with ComputeEngine("cpu") as made:
        yield made


@pytest.fixture(autouse=True)
def _any_size(monkeypatch):
    monkeypatch.setattr(fused_histories, "LEAST", 1)


def walk(*shape, level=100.0, move=1.0, seed=0):
    return level + move * np.random.default_rng(seed).normal(size=shape).cumsum(axis=-1)


def eager(name, history, setting):
    return np.stack([np.asarray(out) for out in LOOPS[name].eager(torch.from_numpy(history), *setting)])


def assert_same(got, expected, scale=1.0):
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize(("name", "setting"), CASES)
@pytest.mark.parametrize("bars", [1, 2, 13, 14, 15, 19, 20, 21, 33, 34, 35, 100, 1_500])
def test_equals_the_eager_kernel_at_every_length(name, setting, bars, cpu):
    history = walk(11, bars)  # eight series side by side, and three
    (got,) = zip(*fused_history(name, history, [setting], cpu), strict=True)
    assert_same(got, eager(name, history, setting), 100.0)


@NAMES
@pytest.mark.parametrize(
    ("level", "move"), [(100.0, 0.0), (0.0, 0.0), (0.0, 1.0), (-50.0, 1.0), (1e5, 1e-2), (1e-6, 1e-8)]
)
def test_equals_the_eager_kernel_at_every_level(name, level, move, cpu):
    history = walk(2, 400, level=level, move=move)
    setting = LOOPS[name].settings
    got = np.stack(fused_history(name, history, [setting], cpu))[:, 0]
    expected = eager(name, history, setting)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    got, expected = np.nan_to_num(got), np.nan_to_num(expected)
    scale = np.abs(expected).max(axis=-1, keepdims=True)
    assert (np.abs(got - expected) <= 1e-9 * np.abs(expected) + 1e-12 * scale).all()


@NAMES
def test_a_price_that_stands_still_after_a_jump(name, cpu):
    history = np.concatenate([walk(100, level=1e6), np.full(100, 3.0), walk(100, level=3.0, move=1e-3)])
    setting = LOOPS[name].settings
    assert_same(np.stack(fused_history(name, history, [setting], cpu))[:, 0], eager(name, history, setting), 1e6)


def test_equals_talib(cpu):
    history = walk(3, 5_000)
    found = [fused_history(name, history, [row.settings], cpu) for name, row in LOOPS.items()]
    for i, x in enumerate(history):
        references = [talib.RSI(x, 14)], talib.MACD(x), talib.BBANDS(x, 20, 2.0, 2.0)
        for got, expected in zip(found, references, strict=True):
            for out, reference in zip(got, expected, strict=False):
                assert_same(out[0, i], reference, 100.0)


def steps(name, prices):
    """What the streaming states say after each price."""
    states = {"rsi": (RsiState, 5), "macd": (MacdState, 3, 5, 2), "bollinger": (WindowState, 5)}
    make, *arguments = states[name]
    state = make(*arguments)
    outputs = np.array([state.update_raw(price) for price in prices]).T
    if name == "rsi":
        return outputs[None]
    if name == "macd":
        return np.stack([*outputs, outputs[0] - outputs[1]])
    outputs[:, :4] = np.nan
    mean, variance, deviation = outputs
    return np.stack(bollinger_bands(mean, np.sqrt(variance), deviation, 2.0))


@NAMES
@settings(max_examples=60, deadline=None)
@given(prices=st.lists(st.floats(-1e4, 1e4).map(lambda price: round(price, 3)), min_size=1, max_size=60))
def test_batch_equals_step(name, prices):
    setting = {"rsi": (5,), "macd": (3, 5, 2), "bollinger": (5, 2.0)}[name]
    with pytest.MonkeyPatch.context() as patch, ComputeEngine("cpu") as cpu:
        patch.setattr(fused_histories, "LEAST", 1)
        got = np.stack(fused_history(name, np.array(prices), [setting], cpu))[:, 0]
    # Of the largest price ever: rounding of a move lives on in a recurrence when prices have become small.
    scale = max(map(abs, prices))
    rows = slice(0, 3) if name == "bollinger" else slice(None)  # the two quotients of bands have no scale
    np.testing.assert_allclose(got[rows], steps(name, prices)[rows], rtol=1e-9, atol=1e-9 * scale)


@NAMES
@pytest.mark.parametrize("lines", [-1, 0, 5])
def test_uncompiled_loops_are_right(name, lines):
    history, row = walk(17, 124), LOOPS[name]
    history[1] = history[16] = 5.0
    found = np.empty((row.outputs, *history.shape))
    with np.errstate(all="raise"):
        row.loop(history, *found, *row.settings, lines)
    assert_same(found, eager(name, history, row.settings), 100.0)


@NAMES
def test_several_threads_and_settings_change_nothing(name, cpu, monkeypatch):
    history, rows = walk(37, 200), SETTINGS[name]
    expected = np.stack([np.stack(fused_history(name, one, rows, cpu)) for one in history], axis=2)
    before = torch.get_num_threads()
    monkeypatch.setattr(fused_histories, "_PART", 600)
    monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", 1)
    torch.set_num_threads(3)
    try:
        got = np.stack(fused_history(name, history, rows, cpu))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(got, expected)


@NAMES
def test_one_setting_at_once_and_by_parts_are_the_same_bits(name, cpu, monkeypatch):
    history, setting = walk(7, 300), LOOPS[name].settings
    at_once = fused_once(name, history, setting, cpu)
    monkeypatch.setattr(fused_histories, "_PART", 900)
    monkeypatch.setattr(fused_histories, "_AT_ONCE", 900)
    np.testing.assert_array_equal(at_once, np.stack(fused_history(name, history, [setting], cpu))[:, 0])
    np.testing.assert_array_equal(at_once, fused_once(name, history, setting, cpu))
    np.testing.assert_array_equal(np.stack(at_once)[:, 3], fused_once(name, history[3], setting, cpu))


@NAMES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [(0, 0), (0, 1), (1, 17), (7, 100), (7, 299), (8, 0), (8, 150), (8, 299)])
def test_a_price_that_is_not_finite_is_named(name, bad, at, cpu):
    history, setting = walk(9, 300), LOOPS[name].settings
    history[at] = bad
    named = f"was {bad} at series {at[0]}, bar {at[1]}"
    with pytest.raises(InputError, match=named):
        fused_once(name, history, setting, cpu)
    with pytest.raises(InputError, match=named):
        fused_history(name, history, [setting], cpu)
    with pytest.raises(InputError, match=f"was {bad} at bar {at[1]}"):
        fused_once(name, history[at[0]], setting, cpu)


@pytest.mark.parametrize(("name", "setting"), CASES)
@pytest.mark.parametrize("bars", [1, 7, 8, 9, 64, 333, 2_000])
def test_a_series_has_the_same_bits_alone_and_beside_others(name, setting, bars, cpu):
    history = walk(17, bars)
    beside = np.stack(fused_once(name, history, setting, cpu))
    for i, alone in enumerate(history):
        np.testing.assert_array_equal(beside[:, i], fused_once(name, alone, setting, cpu))


@pytest.mark.parametrize(("name", "setting"), CASES)
@pytest.mark.parametrize("bars", [1_000, 1_001, 1_002, 1_004, 30])
@pytest.mark.parametrize("place", [0, 3])
def test_past_the_caches_the_bits_are_the_same(name, setting, bars, place, cpu, monkeypatch):
    history = walk(83, bars)
    expected = fused_once(name, history, setting, cpu)
    outputs = [line_array((83 * bars + place,))[place:].reshape(83, bars) for _ in expected]
    monkeypatch.setattr(fused_histories, "_LARGE", 1)
    monkeypatch.setattr(fused_histories, "_PART", 1)  # of as many series as have to start a part
    assert _place_in_lines(outputs) == place
    assert fill_histories(history, [Wanted(name, setting, outputs)], cpu)
    np.testing.assert_array_equal(outputs, expected)


@pytest.mark.parametrize("lines", [0, 1, 7])
@pytest.mark.parametrize(("series", "bars"), [(1, 9), (8, 8), (17, 12), (64, 11), (70, 13), (200, 10), (7, 10)])
def test_series_side_by_side_start_alike_in_their_lines(series, bars, lines):
    groups = eights(series, bars, lines)
    rows = groups[:, :1] + groups[:, 1:2] * np.arange(8)
    assert sorted(rows.reshape(-1)) == list(range(series // 8 * 8))
    direct = groups[:, 2] >= 0
    assert direct.sum() == series // (8 * (8 // np.gcd(bars, 8))) * (8 // np.gcd(bars, 8))
    assert ((lines + rows * bars + groups[:, 2:])[direct] % 8 == 0).all()
    assert (groups[:, 2] < 8).all()
    assert eights(series, bars, -1).tolist() == [[first, 1, -1] for first in range(0, series - 7, 8)]


def test_outputs_that_start_apart_go_through_the_caches():
    one, other = line_array((30,)), line_array((31,))[1:]
    assert [_place_in_lines(each) for each in ([one], [other], [one, one], [one, other])] == [0, 1, 0, -1]
    assert _place_in_lines([np.frombuffer(bytearray(100), dtype=np.float64, offset=1, count=10)]) == -1


def misaligned(x):
    return np.frombuffer(b"\0" + x.tobytes(), dtype=np.float64, offset=1).reshape(x.shape)


@NAMES
@pytest.mark.parametrize(
    "view",
    [
        misaligned,
        lambda x: x[:, ::2],
        lambda x: x[::-1],
        np.asfortranarray,
        lambda x: x.astype(np.float32),
        lambda x: x.round().astype(int),
    ],
)
def test_other_layouts_and_types(name, view, cpu):
    given_ = view(walk(5, 300))
    plain = np.ascontiguousarray(given_, dtype=np.float64)
    setting = LOOPS[name].settings
    for got, expected in zip(
        fused_history(name, given_, [setting], cpu), fused_history(name, plain, [setting], cpu), strict=True
    ):
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, expected)


LONG = {"rsi": (10**9,), "macd": (5, 10**9, 9), "bollinger": (10**9, 2.0)}


@pytest.mark.parametrize(("name", "setting"), LONG.items())
def test_a_period_beyond_the_history_takes_no_longer_than_the_history(name, setting, cpu):
    assert np.isnan(np.stack(fused_history(name, walk(2, 50), [setting], cpu))).all()


@NAMES
def test_a_series_does_not_depend_on_those_before_it(name, cpu):
    history, setting = walk(3, 500), LOOPS[name].settings
    alone = np.stack(fused_history(name, history[2:], [setting], cpu))
    history[:2] *= 1e200
    np.testing.assert_array_equal(np.stack(fused_history(name, history, [setting], cpu))[:, :, 2:], alone)


@NAMES
@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0)])
def test_nothing_is_left_to_the_eager_kernel(name, shape, cpu):
    assert fused_history(name, np.ones(shape), [LOOPS[name].settings], cpu) is None


@pytest.fixture
def fresh(monkeypatch):
    """Nothing compiled yet, and loops taken as they are."""
    monkeypatch.setattr(fused, "_kernels", {})
    monkeypatch.setitem(fused.LANGUAGES, "numba", fused.Language("cpu", lambda function: function))


def _add(monkeypatch, loop):
    row = LOOPS["rsi"]
    monkeypatch.setitem(LOOPS, "rsi", Loop(loop, row.outputs, row.eager, row.settings))


def test_a_loop_that_disagrees_is_dropped(fresh, cpu, monkeypatch):
    def off(prices, index, period, lines):
        index[:] = eager("rsi", prices, (period,))[0] * (1.0 + 1e-6)

    _add(monkeypatch, off)
    with pytest.warns(RuntimeWarning, match="fused kernel rsi is dropped.*it differs .* by 1.0e-06"):
        assert fused_history("rsi", walk(50), [(14,)], cpu) is None
    assert fused_history("rsi", walk(50), [(14,)], cpu) is None


def test_a_loop_that_fails_is_dropped(fresh, cpu, monkeypatch):
    def fail(*_):
        raise TypeError("no such type")

    _add(monkeypatch, fail)
    with pytest.warns(RuntimeWarning, match="fused kernel rsi is dropped.*no such type"):
        assert fused_history("rsi", walk(50), [(14,)], cpu) is None


def test_a_failure_on_another_thread_is_raised(fresh, cpu, monkeypatch):
    def fail(prices, index, period, lines):
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError("no room")
        index[:] = eager("rsi", prices, (period,))[0]
        met.wait(0.01)

    met = threading.Event()
    _add(monkeypatch, fail)
    monkeypatch.setattr(fused_histories, "_PART", 1)
    monkeypatch.setattr("nautilus_metal.engine.threads.SMALL", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(MemoryError, match="no room"):
            fused_history("rsi", walk(50, 20), [(14,)], cpu)
    finally:
        torch.set_num_threads(before)


def test_without_numba_the_eager_kernels_run(monkeypatch, cpu):
    from nautilus_metal import MetalBollingerBands, MetalMACD, MetalRSI

    history, indicators = walk(2, 300), (MetalRSI(), MetalMACD(), MetalBollingerBands())
    computed = [np.stack(one.compute(history, cpu)) for one in indicators]
    monkeypatch.setattr(fused, "_kernels", {})
    monkeypatch.setitem(sys.modules, "numba", None)
    for before, one in zip(computed, indicators, strict=True):
        assert_same(np.stack(one.compute(history, cpu)), before, 100.0)
    assert not fused._kernels["numba"].available
    assert fused._kernels["numba"].verdicts == {}


@pytest.mark.parametrize("case", ["switch", "small", "float32 device"])
def test_where_loops_are_not_used(case, cpu, fresh, monkeypatch):
    history = walk(LEAST - 1)
    if case == "switch":
        monkeypatch.setenv("NAUTILUS_METAL_FUSED", "0")
    elif case == "small":
        monkeypatch.setattr(fused_histories, "LEAST", LEAST)
    else:
        monkeypatch.setattr(cpu, "device", torch.device("cuda"))
        monkeypatch.setattr(cpu, "synchronize", lambda: None)
    assert fused_history("rsi", history, [(14,)], cpu) is None
    assert not any(kernels.verdicts for kernels in fused._kernels.values())


def test_a_closed_engine_and_a_cancelled_one_compute_nothing(cpu):
    token = CancelToken()
    token.cancel()
    with cancellable(token), pytest.raises(Cancelled):
        fused_history("rsi", walk(100), [(14,)], cpu)
    cpu.close()
    with pytest.raises(DeviceError, match="closed"):
        fused_history("rsi", walk(100), [(14,)], cpu)


@pytest.mark.slow
def test_a_short_history_does_not_import_numba():
    code = (
        "import sys, nautilus_metal as m, numpy as np\n"
        "for one in (m.MetalRSI(), m.MetalMACD(), m.MetalBollingerBands()): one.compute(np.arange(500.0))\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_compiled_beside_an_event_loop(cpu, monkeypatch):
    monkeypatch.setattr(fused, "_kernels", {})
    prices = walk(2, 300)
    with fused.nothing_compiled():
        assert fused_history("rsi", prices, [(14,)], cpu) is None
        assert not fused._kernels["numba"].verdicts
    assert fused_history("rsi", prices, [(14,)], cpu) is not None
    with fused.nothing_compiled():
        assert fused_history("rsi", prices, [(14,)], cpu) is not None
        assert fused_history("macd", prices, [(12, 26, 9)], cpu) is None
