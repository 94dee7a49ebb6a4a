"""Fused kernels are compiled, checked, used or dropped; the shaders run on the CPU, compiled by g++."""

import logging
import warnings

import numpy as np
import pytest
import torch

from nautilus_metal.engine import ComputeEngine, fused
from nautilus_metal.engine.fused import largest_gap
from nautilus_metal.engine.fused_scans import LEAST_SERIES, fused_macd, fused_rsi
from nautilus_metal.engine.series import evaluate
from nautilus_metal.kernels.macd import macd
from nautilus_metal.kernels.rsi import rsi
from tests.metal_shim.fixtures import shaders_on_the_cpu, verdicts
from tests.metal_shim.library import Library

PRICES = torch.randn(LEAST_SERIES, 60, generator=torch.Generator().manual_seed(3)).cumsum(-1)
MACD = (3, 6, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shaders")


@pytest.fixture
def compiled(monkeypatch, folder):
    return shaders_on_the_cpu(monkeypatch, folder)


def test_the_first_use_compares_and_every_use_has_the_same_bits(compiled, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, logger=fused.__name__):
        warnings.simplefilter("error")
        first, second = fused_rsi(PRICES, 14), fused_rsi(PRICES, 14)
    eager = rsi(PRICES, 14)
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first.nan_to_num(), eager.nan_to_num())  # other bits: it was the other kernel
    torch.testing.assert_close(first, eager, rtol=0, atol=5e-3, equal_nan=True)
    assert compiled[0].calls == ["rsi_scan", "rsi_scan"]
    assert verdicts() == {"rsi_scan": True}
    assert "rsi_scan agrees with the eager one" in caplog.text


def test_kernels_of_one_text_are_compiled_once(compiled):
    for _ in range(2):
        fused_rsi(PRICES, [5, 14])
        found = fused_macd(PRICES, [MACD, (2, 3, 2)])
    assert len(compiled) == 1
    assert verdicts() == {"rsi_scan": True, "macd_scan": True}
    for ours, eager in zip(found, macd(PRICES, [MACD, (2, 3, 2)]), strict=True):
        torch.testing.assert_close(ours, eager, rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("settings", [14, [14], [2, 14]])
def test_shapes_are_those_of_the_eager_kernel(compiled, settings):
    shapes = [fused_rsi(PRICES, settings).shape for _ in range(2)]
    assert shapes == [rsi(PRICES, settings).shape] * 2


@pytest.mark.parametrize(
    ("broken", "mended", "reason"),
    [
        ("100.0f * gain", "100.1f * gain", "differs from the eager kernel"),
        ("t < period ?", "t <= period ?", "differs from the eager kernel"),
        ("float gain = 0.0f;", "float gain = nothing;", "nothing"),
    ],
)
def test_a_kernel_that_is_wrong_or_does_not_compile_is_dropped(monkeypatch, folder, broken, mended, reason):
    compiled = shaders_on_the_cpu(monkeypatch, folder, lambda text: text.replace(broken, mended))
    with pytest.warns(RuntimeWarning, match=f"(?s)rsi_scan is dropped.*{reason}"):
        first = fused_rsi(PRICES, 14)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = fused_rsi(PRICES, 14)
    for found in (first, second):
        torch.testing.assert_close(found, rsi(PRICES, 14), rtol=0, atol=0, equal_nan=True)
    assert verdicts() == {"rsi_scan": False}
    assert all(library.calls == ["rsi_scan"] for library in compiled)


def test_a_wrong_kernel_takes_no_other_with_it(monkeypatch, folder):
    shaders_on_the_cpu(monkeypatch, folder, lambda text: text.replace("100.0f * gain", "100.1f * gain"))
    with pytest.warns(RuntimeWarning, match="rsi_scan is dropped"):
        fused_rsi(PRICES, 14)
    fused_macd(PRICES, MACD)
    assert verdicts() == {"rsi_scan": False, "macd_scan": True}


def failing(error: Exception):
    def call(*arguments, threads):
        raise error

    return call


def test_a_kernel_that_fails_later_is_dropped(compiled, monkeypatch):
    fused_rsi(PRICES, 14)
    monkeypatch.setattr(Library, "rsi_scan", failing(RuntimeError("command buffer failed")), raising=False)
    with pytest.warns(RuntimeWarning, match="rsi_scan is dropped.*command buffer failed"):
        found = fused_rsi(PRICES, 14)
    torch.testing.assert_close(found, rsi(PRICES, 14), rtol=0, atol=0, equal_nan=True)
    assert verdicts() == {"rsi_scan": False}


@pytest.mark.parametrize("uses", [0, 1])
def test_want_of_memory_is_no_verdict(compiled, monkeypatch, uses):
    for _ in range(uses):
        fused_rsi(PRICES, 14)
    monkeypatch.setattr(Library, "rsi_scan", failing(RuntimeError("MPS backend out of memory")), raising=False)
    with pytest.raises(RuntimeError, match="out of memory"):
        fused_rsi(PRICES, 14)
    assert verdicts() == ({"rsi_scan": True} if uses else {})


def test_a_device_without_shaders_is_asked_once_and_in_silence(compiled, monkeypatch, caplog):
    asked = []

    def refuse(text):
        asked.append(text)
        raise NotImplementedError("shaders are not simulated")

    monkeypatch.setattr(torch.mps, "compile_shader", refuse)
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, logger=fused.__name__):
        warnings.simplefilter("error")
        found = [fused_rsi(PRICES, 14), fused_rsi(PRICES, 14), *fused_macd(PRICES, MACD)]
    for ours, eager in zip(found, [rsi(PRICES, 14), rsi(PRICES, 14), *macd(PRICES, MACD)], strict=True):
        torch.testing.assert_close(ours, eager, rtol=0, atol=0, equal_nan=True)
    assert len(asked) == 1
    assert caplog.text.count("no fused kernels on this device") == 1


@pytest.mark.gpu
def test_the_simulated_device_has_none(simulator, monkeypatch, caplog):
    monkeypatch.setattr(fused, "_kernels", {})
    history = PRICES.double().numpy()
    caplog.set_level(logging.INFO, logger=fused.__name__)
    with warnings.catch_warnings(), ComputeEngine("mps") as engine:
        warnings.simplefilter("error")
        found = evaluate(lambda x, n: (fused_rsi(x, n),), history, 14, engine)
        eager = evaluate(lambda x, n: (rsi(x, n),), history, 14, engine)
    np.testing.assert_array_equal(found, eager)
    assert verdicts() == {}
    assert "no fused kernels on this device" in caplog.text


@pytest.mark.parametrize(
    "prices",
    [PRICES.double(), PRICES[: LEAST_SERIES - 1], PRICES[0], PRICES[:, :0]],
    ids=["float64", "few series", "one series", "no bars"],
)
def test_what_the_scan_is_not_for_stays_eager(compiled, prices):
    fused_rsi(prices, 14)
    fused_macd(prices, MACD)
    assert compiled == []


@pytest.mark.parametrize("way", ["switch", "other device", "old torch"])
def test_no_kernels(compiled, monkeypatch, way):
    if way == "switch":
        monkeypatch.setenv(fused.SWITCH, "0")
    elif way == "other device":
        monkeypatch.setitem(fused.LANGUAGES, "metal", fused.LANGUAGES["metal"]._replace(kind="mps"))
    else:
        monkeypatch.delattr(torch.mps, "compile_shader")
    fused_rsi(PRICES, 14)
    assert compiled == []


NAN, INF = torch.nan, torch.inf


@pytest.mark.parametrize(
    ("ours", "theirs", "scale", "gap"),
    [
        ([1.0, 2.0], [1.0, 2.0], None, 0.0),
        ([1.0, 2.5], [1.0, 2.0], None, 0.25),
        ([1.0, 2.5], [1.0, 2.0], 10.0, 0.05),
        ([NAN, INF], [NAN, INF], None, 0.0),
        ([NAN, 1.0], [0.0, 1.0], None, INF),
        ([0.0, 1.0], [NAN, 1.0], None, INF),
        ([INF], [-INF], None, INF),
        ([1e-9], [0.0], None, INF),
        ([0.0], [0.0], None, 0.0),
        ([], [], None, 0.0),
        ([1.0], [1.0, 2.0], None, INF),
    ],
)
def test_gap(ours, theirs, scale, gap):
    assert largest_gap([torch.tensor(ours)], [torch.tensor(theirs)], scale) == pytest.approx(gap)
