"""The page in a real browser: nothing loaded, nothing on the console, everything visible, printed as PDF."""

import re

import pytest

from nautilus_metal.report.page import page
from tests.report import browser

NONE = f"no browser here: none of {', '.join(browser.BROWSERS)}"
pytestmark = pytest.mark.skipif(browser.find() is None, reason=NONE)
MOVE = "document.getElementById('pnl').dispatchEvent(new PointerEvent('pointermove', {clientX: 600, clientY: 300}));"


@pytest.fixture(scope="module")
def html(whole):
    return page(whole)


@pytest.fixture(scope="module")
def seen(html, tmp_path_factory):
    return browser.look(html, tmp_path_factory.mktemp("seen"), script=MOVE)


def test_the_console_is_silent_and_nothing_is_loaded(seen):
    assert seen["said"] == []
    assert seen["loaded"] == []


def test_every_part_is_visible(seen):
    sizes = seen["visible"]
    assert all(width > 10 and height > 5 for width, height in sizes.values()), sizes
    text = " ".join(sizes)
    for heading in ("Daily P&L against", "Verdicts", "Where the risk is", "Is the expected shortfall right",
                    "Why VaR changed", "Worst scenarios", "This run"):  # fmt: skip
        assert heading in text
    for drawing in ("svg pnl", "svg wealth"):
        assert drawing in text


def test_the_readout_follows_the_pointer(seen):
    readout = re.search(r'<div id="readout"[^>]*>(.*?)</div>', seen["dom"], flags=re.S).group(1)
    assert re.search(r"\d{4}-\d{2}-\d{2} +P&amp;L .* VaR 95% .* VaR 99%", readout)


def test_nothing_is_wider_than_the_page(seen):
    assert seen["overflow"] == 0
    assert seen["wide"] == []


def test_a_narrow_window_scrolls_tables_only(html, tmp_path):
    assert browser.look(html, tmp_path, "--window-size=500,900")["overflow"] == 0


def test_it_prints(html, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(html, encoding="utf-8")
    browser.run(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}", path.as_uri())
    body = (tmp_path / "page.pdf").read_bytes()
    assert body.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", body)) >= 3
