"""Every case runs small, so that none rots; no time is asserted."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from nautilus_metal.bench import CASES, Case, Result, run, run_bench, table
from nautilus_metal.bench.case import Floor, NothingToCompareError, Spread, strongest
from nautilus_metal.bench.classic import classic_lines
from nautilus_metal.bench.command import run_calibration
from nautilus_metal.bench.rates import Rates, measure_rates
from nautilus_metal.bench.runner import FULL, _Pair
from nautilus_metal.bench.table import as_values
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.engine.placement_measure import SIZES, Calibration
from nautilus_metal.engine.placement_store import calibrate
from nautilus_metal.errors import InputError
from nautilus_metal.risk.pricing_work import ALL_WORK, PRICING


@pytest.fixture
def host() -> Iterator[ComputeEngine]:
    with ComputeEngine("cpu") as engine:
        yield engine


def _sleepless(answer: float, calls: list[str] | None = None, name: str = ""):
    def work(_: object) -> float:
        if calls is not None:
            calls.append(name)
        return answer

    return work


def _equal(_: object, ours: float, theirs: float) -> None:
    assert ours == theirs, f"{ours} is not {theirs}"


def _case(**changes: object) -> Case:
    plain = Case(
        name="plain",
        title="",
        sizes=({"n": 2},),
        quick=({"n": 4},),
        prepare=lambda engine, n: n,
        ours=_sleepless(1.0),
        peers={"peer": _sleepless(1.0)},
        check=_equal,
    )
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def rates() -> Rates:
    with ComputeEngine("cpu") as engine:
        return measure_rates(engine, quick=True)


OPTIONAL = ("polars", "cupy", "jax")  # packages of peers that no extra installs
NOT_ON = {"cpu": ("placement_", "cuda_"), "mps": ("cuda_",)}  # cases by the device that they cannot run on
ABSENT = ("an NVIDIA GPU is needed", "the CPU is the only device that is used here: there is nothing to choose")
ALONE = "torch has a single thread here: there is nothing to choose"


@pytest.fixture
def price_placed(name: str, engine: ComputeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a simulated device, where measuring prices is left out for its minutes: a price goes to the device."""
    kind = name.removeprefix("placement_")
    if kind in PRICING and kind not in ALL_WORK:
        times = {"cpu": [1.0] * len(SIZES), "device": [1e-3] * len(SIZES)}
        known = replace(calibrate(engine, ALL_WORK), times={kind: times})
        monkeypatch.setattr("nautilus_metal.bench.cases.placement.calibrate", lambda *_: known)
        monkeypatch.setitem(ALL_WORK, kind, PRICING[kind])


@pytest.mark.usefixtures("price_placed")
@pytest.mark.parametrize("name", CASES)
def test_every_case_runs_and_agrees_with_its_peers(engine, rates, name):
    case = CASES[name]
    results = run([case], engine, quick=True, rates=rates)
    on_cpu = case.on_cpu and engine.device.type != "cpu"
    if name.startswith("cuda_") and engine.device.type != "cuda":
        assert {result.problem for result in results} == {"an NVIDIA GPU is needed"}
        return
    assert len(results) == len(case.quick) * (len(case.peers) + len(case.bounds) + on_cpu)
    for result in results:
        if result.problem in [f"{package} is not installed" for package in OPTIONAL]:
            continue
        if name.startswith("threads_") and torch.get_num_threads() == 1:
            assert result.problem == ALONE
            continue
        if name.startswith(NOT_ON.get(engine.device.type, ())):
            assert result.problem in ABSENT
            continue
        assert result.problem is None, f"{result.peer}: {result.problem}"
        assert result.device == str(engine.device)
        for spread in (result.ours, result.theirs, result.ratio):
            assert spread.low <= spread.median <= spread.high
            assert np.isfinite(spread.median)
        assert result.theirs.median > 0 or case.baseline is not None


def test_names_are_keys_and_full_sizes_are_larger():
    for name, case in CASES.items():
        assert case.name == name
        assert case.title
        full, quick = (max(np.prod(list(size.values())) for size in sizes) for sizes in (case.sizes, case.quick))
        assert full > quick


@pytest.mark.parametrize("peer", ["TA-Lib loop", "numba loop"])
@pytest.mark.parametrize("name", ["rsi", "macd", "bollinger", "universe"])
def test_the_check_of_an_indicator_can_fail(host, name, peer):
    case = CASES[name]
    problem = case.prepare(host, series=2, bars=80)
    ours, theirs = case.ours(problem), case.peers[peer](problem)
    case.check(problem, ours, theirs)
    off = tuple(np.asarray(values) * (1 + 1e-6) for values in theirs)
    with pytest.raises(AssertionError):
        case.check(problem, ours, off)


@pytest.mark.parametrize("peer", ["stores alone, new arrays", "stores alone, same arrays"])
def test_the_bound_stores_what_ours_returns(host, peer):
    case = CASES["universe"]
    problem = case.prepare(host, series=2, bars=80)
    ours, theirs = case.ours(problem), case.bounds[peer](problem)
    case.check(problem, ours, theirs)
    assert theirs.arrays.nbytes == sum(out.nbytes for out in ours)
    assert (case.bounds[peer](problem).arrays is theirs.arrays) == ("same" in peer)
    with pytest.raises(AssertionError, match="as many stores as"):
        case.check(problem, ours[1:], theirs)
    theirs.arrays[0, 0, 0] = 0.0
    with pytest.raises(AssertionError, match="have been made"):
        case.check(problem, ours, theirs)


@pytest.mark.parametrize(
    ("name", "size"),
    [("risk_tick", {"assets": 5, "scenarios": 4_000}), ("option_book", {"options": 4, "scenarios": 4_000})],
)
def test_the_check_of_risk_figures_can_fail(host, name, size):
    case = CASES[name]
    problem = case.prepare(host, **size)
    ours, theirs = case.ours(problem), case.peers["numpy"](problem)
    case.check(problem, ours, theirs)
    with pytest.raises(AssertionError):
        case.check(problem, ours, theirs._replace(es=[1.2 * es for es in theirs.es]))


def test_the_worst_of_the_choices_is_told(host):
    def measured(case: str, peer: str, elements: int, ratio: float | None) -> Result:
        spread = None if ratio is None else Spread(ratio, ratio, ratio)
        return Result(case, peer, {"elements": elements}, "cuda:0", spread, spread, spread)

    results = [
        measured("placement_losses", "always the CPU", 8_192, 1.0),
        measured("placement_losses", "always the device", 8_192, 0.8),
        measured("placement_losses", "always the CPU", 65_536, 3.0),
        measured("placement_losses", "always the device", 65_536, 0.99),
    ]
    remark = CASES["placement_losses"].remark
    words = "the choice takes at most {} times as long as the best (8,192 elements)"
    assert remark(results, host) == "placement_losses: " + words.format("1.25")
    same = [measured("placement_losses", "always the CPU", 65_536, 0.5), *results]  # the host's choice, timed again
    assert remark(same, host) == remark(results, host)
    threads = CASES["threads_losses"].remark([measured("threads_losses", "one thread", 8_192, 1.4)], host)
    assert threads == "threads_losses: " + words.format("1.00")
    assert remark([measured("placement_losses", "always the CPU", 8_192, None)], host) is None


def test_threads_are_given_back_after_each_turn(host):
    case, before = CASES["threads_losses"], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        problem = case.prepare(host, elements=4_096)
        seen = []
        watched = problem._replace(work=lambda: seen.append(torch.get_num_threads()))
        for work in (case.ours, *case.peers.values()):
            work(watched)
            assert torch.get_num_threads() == 2
        assert seen == [1, 1, 2]
        torch.set_num_threads(1)
        with pytest.raises(NothingToCompareError, match="a single thread"):
            case.prepare(host, elements=4_096)
    finally:
        torch.set_num_threads(before)


def test_pairs_are_measured_in_turn(host, monkeypatch):
    calls: list[str] = []
    case = _case(ours=_sleepless(1.0, calls, "a"), peers={"peer": _sleepless(1.0, calls, "b")})
    monkeypatch.setattr("nautilus_metal.bench.runner._Pair._calls", lambda *_: 1)
    (result,) = run([case], host, quick=True)
    assert "".join(calls) == "ab" + "ab" * result.rounds
    assert result.size == {"n": 4}


def test_wrong_answers_are_not_timed(host, capsys, monkeypatch):
    case = _case(peers={"peer": _sleepless(2.0), "other": _sleepless(1.0)})
    wrong, right = run([case], host, quick=True)
    assert wrong.wrong
    assert wrong.ours is wrong.theirs is wrong.ratio is None
    assert not right.wrong
    assert "plain against peer: answers differ: 1.0 is not 2.0" in table([wrong, right], host)
    monkeypatch.setitem(CASES, "plain", case)
    assert run_bench("plain", "cpu", quick=True) == 1


def test_a_missing_package_is_said_and_is_no_failure(host, monkeypatch, capsys):
    def missing(_: object) -> None:
        raise ModuleNotFoundError(name="talib")

    case = _case(peers={"peer": missing})
    (result,) = run([case], host, quick=True)
    assert result.problem == "talib is not installed"
    monkeypatch.setitem(CASES, "plain", case)
    assert run_bench("plain", "cpu", quick=True) == 0
    assert "plain against peer: talib is not installed" in capsys.readouterr().out


def test_a_baseline_is_taken_off_and_units_divide(host, monkeypatch):
    seconds = {"ours": 5.0, "peer": 9.0, "base": 1.0}
    works = {name: _sleepless(1.0) for name in seconds}
    by_work = {id(work): seconds[name] for name, work in works.items()}
    monkeypatch.setattr("nautilus_metal.bench.runner._Pair._sample", lambda self, work, calls: by_work[id(work)])
    case = _case(ours=works["ours"], peers={"peer": works["peer"]}, baseline=works["base"], per="n")
    (result,) = run([case], host, quick=True)
    assert (result.ours.median, result.theirs.median, result.ratio.median) == (1.0, 2.0, 2.0)


def test_the_command_prints_a_table_or_json(capsys):
    assert run_bench("pool", device="cpu", quick=True) == 0
    text = capsys.readouterr().out
    assert "torch.empty" in text
    assert "nautilus_metal" in text
    assert run_bench("pool", device="cpu", quick=True, as_json=True) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["environment"]["device"] == "cpu"
    assert values["results"][0]["case"] == "pool"
    assert values["results"][0]["ratio"]["median"] > 0


def test_an_unknown_case_names_those_there_are():
    with pytest.raises(InputError, match=r"`case` must be one of rsi, .*was 'speed'"):
        run_bench("speed")


def test_values_are_plain(host):
    json.dumps(as_values(run([_case()], host, quick=True), host))


@pytest.mark.parametrize(
    ("rounds", "spent", "more"),
    [(0, 99, True), (1, 99, True), (2, 25, False), (2, 23, True), (5, 7.9, True), (5, 8.1, False), (21, 1, False)],
)
def test_rounds_go_on_while_they_are_few_and_time_is_left(rounds, spent, more):
    assert _Pair._more(rounds, spent, FULL) is more


def test_a_floor_is_what_the_rates_say_and_at_least_a_launch(host, monkeypatch):
    seconds = {"ours": 6.0, "peer": 9.0}
    works = {name: _sleepless(1.0) for name in seconds}
    by_work = {id(work): seconds[name] for name, work in works.items()}
    monkeypatch.setattr("nautilus_metal.bench.runner._Pair._sample", lambda self, work, calls: by_work[id(work)])
    rates = Rates({1: 4.0}, {"float32": 2.0}, {"float32": 8.0}, 0.0)
    floor = Floor("two ways", lambda known, size: known.moved(4 * size["n"]) + known.multiplied(4.0))
    case = _case(ours=works["ours"], peers={"peer": works["peer"]}, per="n", floor=floor)
    (result,) = run([case], host, quick=True, rates=rates)
    assert (result.floor, result.above_floor.median) == (pytest.approx(1.5), pytest.approx(1.0))
    (late,) = run([case], host, quick=True, rates=replace(rates, launch=12.0))
    assert late.floor == pytest.approx(3.0)
    unknown = replace(case, floor=Floor("", lambda known, _: known.exponentiated(1.0, "float64")))
    (without,) = run([unknown], host, quick=True, rates=rates)
    assert without.floor is without.above_floor is None


def test_rates_of_this_machine(host):
    rates = measure_rates(host, quick=True)
    assert all(speed > 1e8 for speed in (*rates.copy.values(), *rates.exponentials.values()))
    assert set(rates.exponentials) == {"float32", "float64"}
    assert rates.moved(1e9) == pytest.approx(1e9 / rates.copy[max(rates.copy)])


def test_a_machine_without_what_a_case_is_about_says_so(host):
    def prepare(engine: ComputeEngine, n: int) -> None:
        raise NothingToCompareError("no GPU")

    (result,) = run([_case(prepare=prepare)], host, quick=True)
    assert (result.problem, result.wrong) == ("no GPU", False)


def test_bounds_are_timed_and_are_no_peers(host):
    results = run([_case(bounds={"stores": _sleepless(1.0)})], host, quick=True)
    assert [row.bound for row in results] == [False, True]
    assert [row.peer for row in strongest(results)] == ["peer"]


def test_a_peer_that_does_less_a_call_is_timed_for_as_many_as_it_takes(host, rates):
    case = _case(calls=lambda ours, theirs: 1e6 * ours / theirs)
    (once,) = run([replace(case, calls=None)], host, quick=True, rates=rates)
    (many,) = run([case], host, quick=True, rates=rates)
    assert many.ratio.median > 1e4 * once.ratio.median
    assert many.theirs.median > 1e4 * once.theirs.median


def test_what_is_asked_for_stands_beside_full_sizes(host, rates):
    case = _case(asked={"peer": 21.0})
    (small,) = run([replace(case, sizes=({"n": 9},))], host, quick=True, rates=rates)
    (full,) = run([replace(case, sizes=case.quick)], host, quick=True, rates=rates)
    assert (small.asked, full.asked) == (None, 21.0)
    assert "21" in table([full], host).splitlines()[-1].split()


def test_ours_on_the_cpu_is_a_peer_of_ours_on_a_gpu(host, monkeypatch):
    monkeypatch.setattr(host, "device", torch.device("cuda", 0))
    monkeypatch.setattr(host, "synchronize", lambda: None)
    rates = Rates({1: 1.0}, {}, {}, 0.0)
    asked = []
    case = _case(
        prepare=lambda engine, n: engine.device.type,
        ours=lambda problem: problem,
        on_cpu=True,
        peers={"peer": lambda _: "cuda"},
        check=lambda problem, ours, theirs: asked.append((ours, theirs)),
    )
    results = run([case], host, quick=True, rates=rates)
    assert [row.peer for row in results] == ["peer", "ours on the CPU"]
    assert asked == [("cuda", "cuda"), ("cuda", "cpu")]


def test_the_strongest_peer_has_the_least_ratio_of_each_size():
    def row(case: str, peer: str, size: int, ratio: float | None) -> Result:
        spread = None if ratio is None else Spread(ratio, ratio, ratio)
        return Result(case, peer, {"n": size}, "cpu", ours=spread, theirs=spread, ratio=spread)

    rows = [row("a", "x", 1, 2.0), row("a", "y", 1, 1.0), row("a", "x", 2, 3.0), row("b", "x", 1, None)]
    assert [(best.case, best.peer, best.size["n"]) for best in strongest(rows)] == [("a", "y", 1), ("a", "x", 2)]


def test_the_chart_and_the_file_are_written_where_out_says(tmp_path, capsys):
    assert run_bench("pool,gate", "cpu", quick=True, out=tmp_path / "new") == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["bench.json", "bench.png", "bench.svg"]
    assert (tmp_path / "new" / "bench.png").read_bytes().startswith(b"\x89PNG")
    drawn = (tmp_path / "new" / "bench.svg").read_text(encoding="utf-8")
    assert "<svg" in drawn
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="`out` must be a folder"):
        run_bench("pool", "cpu", quick=True, out=tmp_path / "file")


def test_quick_results_are_not_kept():
    with pytest.raises(InputError, match="leave `quick` away"):
        run_bench("pool", "cpu", quick=True, keep=True)


def test_the_older_table_is_one_page(host):
    lines = list(classic_lines(host, quick=True))
    text = "\n".join(lines)
    for title in ("Monte Carlo option with Greeks", "RSI of one history", "matrix product", "LSTM inference"):
        assert title in text
    assert "answers differ" not in text
    assert re.search(r"^bandwidth used: [\d.]+ GB/s", text, re.MULTILINE)
    assert "pool hit rate: 95.0% over 20 risk ticks" in text


def test_a_calibration_is_stored_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run_calibration("cpu") == 0
    text = capsys.readouterr().out
    assert "there is no other device" in text
    assert len(list((tmp_path / "nautilus_metal").glob("calibration-cpu-*.json"))) == 1


def test_a_calibration_says_where_each_kind_and_size_goes(monkeypatch, capsys):
    row = {"cpu": [1e-5 * 4**i for i in range(len(SIZES))], "device": [1e-3] * len(SIZES)}
    found = Calibration(
        device="mps", device_name="Apple M4 Max GPU (Metal)", cpu_name="Apple M4 Max", torch="2.15.0",
        measured="2026-11-22T12:00:00+00:00", copy_to_device=50.0, copy_from_device=40.0, copy_within=400.0,
        matmul=13_000.0, launch=8.0, round_trip=150.0, times=dict.fromkeys(ALL_WORK, row),
    )  # fmt: skip
    monkeypatch.setattr("nautilus_metal.bench.command.calibrate", lambda engine, work, fresh: found)
    assert run_calibration("cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(ALL_WORK) * len(SIZES)
    assert "losses of 4,096 elements: cpu, because the device is 0.01 times as fast" in lines[1]
    assert lines[1].endswith("(0.01 ms on the CPU, 1 on the device)")
