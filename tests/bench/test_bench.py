"""Every case runs small, so that none rots; no time is asserted."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from nautilus_metal.bench import CASES, Case, run, run_bench, table
from nautilus_metal.bench.rates import Rates, measure_rates
from nautilus_metal.bench.table import as_values
from nautilus_metal.engine import ComputeEngine
from nautilus_metal.errors import InputError


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
