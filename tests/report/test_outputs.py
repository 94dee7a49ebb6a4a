"""The files of a run: complete, self-contained, readable."""

import io
import json
import re
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from nautilus_metal.report.charts import MAX_BINS, component_stack
from nautilus_metal.report.page import page, write_page
from nautilus_metal.report.picture import write_picture
from nautilus_metal.report.progress import Progress
from nautilus_metal.report.run import summary, write_summary
from nautilus_metal.report.svg import line, nice_ticks, time_ticks
from nautilus_metal.report.terminal import closing_text, table

VOID = {"meta", "link", "img", "br", "hr", "input", "path", "rect", "circle"}


class Outline(HTMLParser):
    """Collects tags and attributes, and checks that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def outline(run):
    parser = Outline()
    parser.feed(page(run))
    parser.close()
    assert not parser.open
    return parser


def test_page_loads_nothing_from_anywhere(run, outline):
    for tag, attributes in outline.tags:
        assert not {"src", "href", "srcset", "action"} & set(attributes), tag
        assert tag not in ("link", "iframe", "object", "embed", "img")
    html = page(run)
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|WebSocket", html)


def test_page_shows_every_model_level_and_text_escaped(run, outline):
    text = " ".join(outline.text)
    for word in ("normal", "student_t", "95%", "99%", "FAILS", "CCC.SIM", "no price <yet>", "A toy & its <risk>"):
        assert word in text
    cells = [attributes.get("class", "") for tag, attributes in outline.tags if tag == "span"]
    assert any("light" in css for css in cells)


def test_page_marks_every_breach_of_the_main_model(run):
    chart = page(run).split('id="pnl"')[1].split("</svg>")[0]
    assert chart.count('class="mark"') == int(run.chosen.hits(0.99).sum())


def test_drawings_are_well_formed_and_finite(run):
    drawings = re.findall(r"<svg.*?</svg>", page(run), flags=re.S)
    assert len(drawings) >= 4
    for drawing in drawings:
        ET.fromstring(drawing)
        assert not re.search(r"\bnan\b|\binf\b", drawing)


def test_data_for_the_readout_agree_with_the_series(run):
    body = re.search(r'id="pnl-data">(.*?)</script>', page(run), flags=re.S)
    data = json.loads(body.group(1))
    np.testing.assert_array_equal(data["pnl"], np.round(run.chosen.pnl.total))
    assert data["levels"] == ["95%", "99%"]
    assert len(data["var"][0]) == len(data["day"])


def test_picture_is_a_png_with_something_on_it(run, tmp_path):
    from matplotlib.image import imread

    path = tmp_path / "report.png"
    write_picture(run, path)
    head = path.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:24])
    assert width > 1_000
    assert height > 900
    pixels = imread(path)
    assert len(np.unique(pixels[:, :, :3].reshape(-1, 3), axis=0)) > 50
    assert 0.01 < (pixels[:, :, :3].min(axis=2) < 0.9).mean() < 0.6


def test_summary_has_what_was_promised(run, tmp_path):
    write_summary(run, tmp_path / "summary.json")
    facts = json.loads((tmp_path / "summary.json").read_text())
    for model in ("normal", "student_t"):
        for level in ("0.95", "0.99"):
            entry = facts["models"][model][level]
            assert set(entry) >= {"days", "exceptions", "expected", "kupiec_p", "christoffersen_p", "zone"}
    assert facts["models"]["normal"]["0.99"]["exceptions"] == 8
    assert facts["tick_milliseconds"]["median"] == 2.0
    assert (facts["device"], facts["seed"], facts["wall_seconds"], facts["pool_hit_rate"]) == ("cpu", 7, 1.5, 0.5)
    assert facts["versions"]["numpy"]
    assert facts["uncovered"] == {"CCC.SIM": {"reports": 6, "reason": "no price <yet>"}}


def test_outputs_of_a_run_in_which_nothing_was_held(run, prices, tmp_path):
    from nautilus_metal.report.series import collect
    from nautilus_metal.report.verdict import judge
    from tests.report.conftest import make_report

    ts, closes = prices
    result = judge(collect([make_report(day, {}) for day in range(9)])[0], ts, ["AAA.SIM"], closes[:, :1])
    empty = replace(run, results=[result], holdout_from=None)
    write_page(empty, tmp_path / "report.html")
    write_picture(empty, tmp_path / "report.png")
    write_summary(empty, tmp_path / "summary.json")
    facts = json.loads((tmp_path / "summary.json").read_text())
    assert facts["models"]["normal"]["0.99"]["kupiec_p"] is None
    assert facts["empty_book_days"] == {"normal": 9}
    assert "no verdict" in closing_text(empty, tmp_path)


def test_closing_text_agrees_with_the_summary(run, tmp_path):
    text = closing_text(run, tmp_path)
    entry = summary(run)["models"]["student_t"]["0.95"]
    row = next(line for line in text.splitlines() if line.startswith("student_t") and "95%" in line)
    assert row.split()[2:5] == [str(entry["days"]), str(entry["exceptions"]), f"{entry['expected']:.1f}"]


def test_table_lines_up():
    lines = table([("name", "n"), ("a", "10"), ("long name", "1")]).splitlines()
    assert [len(line) for line in lines] == [13] * 4
    assert lines[2] == "a          10"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_redraws_one_line_on_a_terminal():
    stream = Terminal()
    bar = Progress("toy", 4, stream, interval=0.0)
    for day in range(4):
        bar.tick()
        bar.day(f"2020-01-0{day + 1}")
    bar.finish()
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "4/4 days" in text.split("\r")[-1]
    assert "risk ticks/s" in text


def test_progress_names_what_it_counts():
    stream = io.StringIO()
    bar = Progress("toy", 2, stream, interval=0.0, unit="targets")
    bar.tick()
    bar.day("2020-01-01")
    bar.finish()
    assert stream.getvalue().count(" targets/s") == 2
    assert "risk ticks" not in stream.getvalue()


def test_progress_is_seldom_redrawn_and_plain_elsewhere():
    stream = io.StringIO()
    bar = Progress("toy", 1_000, stream, interval=60.0)
    for day in range(1_000):
        bar.day(str(day))
    bar.finish()
    assert "\r" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1
    assert "1,000/1,000 days" in stream.getvalue()


def test_component_stack_keeps_the_total():
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(1_003, 14))
    ts, names, stack = component_stack(np.arange(1_003), [f"S{i}" for i in range(14)], parts)
    assert names[-1] == "6 others"
    assert stack.shape == (len(ts), 9)
    width = -(-1_003 // MAX_BINS)
    lengths = np.minimum(width, 1_003 - np.arange(0, 1_003, width))
    np.testing.assert_allclose((stack.sum(axis=1) * lengths).sum(), parts.sum())


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3e6, 2e6), (1e-6, 3e-6), (-1.0, -0.2)])
def test_ticks_are_round_inside_and_neither_few_nor_many(low, high):
    ticks = nice_ticks(low, high)
    assert 3 <= len(ticks) <= 9
    assert min(ticks) >= low
    assert max(ticks) <= high


def test_counts_get_whole_ticks():
    for high in (1.0, 3.0, 12.0, 13.0, 47.0):
        ticks = nice_ticks(0.0, high, 5, whole=True)
        assert all(tick == int(tick) for tick in ticks)
        assert len(ticks) >= 2


@pytest.mark.parametrize("days", [40, 400, 4_000, 12_000])
def test_time_ticks_lie_inside(days):
    high = days * 86_400 * 10**9
    ticks = time_ticks(0, high)
    assert 1 <= len(ticks) <= 12
    assert all(0 <= ts <= high for ts, _ in ticks)


def test_a_line_breaks_where_a_value_is_missing():
    drawn = line(np.arange(5.0), np.array([1.0, 2.0, np.nan, 4.0, 5.0]), "x")
    assert drawn.count("M") == 2
    assert "nan" not in drawn
