"""Fixtures for every test: the engines of this machine, the simulated mps device, and pools that start empty."""

import os
import socket
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.hosts import follow_host
from tests.simulated_mps import simulate

# A busy machine is no failure; CI replays the same examples each time, other runs look for new ones.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")

GPU_KINDS = ("mps", "cuda")
# Tests by path that name the CPU themselves, compute nothing, or start processes that know no simulated device: on
# another device only those of them that ask for one run again.
HOST_ONLY = (
    *("actors/test_validation_actor", "actors/test_validation_days", "bench/", "host/", "kernels/", "live/"),
    *("cli/test_bench", "cli/test_cli", "cli/test_live", "cli/test_sweep", "cli/test_validate", "cli/test_var"),
    *("compat/test_environment.py::test_debugging_shows", "compat/test_environment.py::test_forced_to_the_cpu_no"),
    *("compat/test_environment.py::test_importing", "compat/test_environment.py::test_without"),
    *("compat/test_loop.py::test_the_loop_is_never_blocked", "engine/test_fused_", "engine/test_graphs"),
    *("parity/", "report/", "test_package", "test_workflow"),
    *("risk/test_pricing", "risk/test_study", "risk/test_team", "risk/test_validation"),
)
os.environ.pop("PYTORCH_ENABLE_MPS_FALLBACK", None)  # it would hide gaps; torch reads it when it is imported
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # processes side by side would wait for each other's threads
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        choices=GPU_KINDS,
        help="run the fixture `engine` on this kind of device only; where there is no Mac, mps is simulated and is "
        "what 'auto' picks",
    )
    parser.addoption(
        "--mps-torch",
        metavar="VERSION",
        help="the torch version whose MPS operators the simulated device has, or 'oldest' for the oldest that "
        "pyproject.toml allows (default: the installed one)",
    )


def pytest_configure(config: pytest.Config) -> None:
    follow_host(config)
    if config.getoption("--device") == "mps" and sys.platform != "darwin":
        simulate(config)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--device")
    if chosen not in GPU_KINDS:
        return
    for item in items:
        if "device" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.gpu)
    others = {item for item in items if _engine_of(item) not in (None, chosen) or _is_host_only(item)}
    config.hook.pytest_deselected(items=[item for item in items if item in others])
    items[:] = [item for item in items if item not in others]
    for item in items:
        marker = item.get_closest_marker("not_simulated")
        if marker and "mps_sim" in sys.modules:
            item.add_marker(pytest.mark.skip(reason=f"not on the simulated device: {marker.kwargs['reason']}"))


def _is_host_only(item: pytest.Item) -> bool:
    name = item.nodeid.removeprefix("tests/")
    return name.startswith(HOST_ONLY) and item.get_closest_marker("gpu") is None


def _engine_of(item: pytest.Item) -> str | None:
    """Return the kind of device that a test's `engine` is on; None for a test without one."""
    parameters = getattr(item, "callspec", None)
    return parameters.params.get("engine") if parameters else None


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """Name the device that whole systems are configured with: the CPU, or what the command line asks for."""
    kind = request.config.getoption("--device") or "cpu"
    return "cuda:0" if kind == "cuda" else kind


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Keep torch on one thread, for tests of small arrays."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def free_port() -> int:
    """Name a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def simulator() -> object:
    """The simulated mps device, for tests of its counters; they are skipped where it is not in use."""
    if "mps_sim" not in sys.modules:
        pytest.skip("counted on the simulated device only: run `make test-mps`")
    return sys.modules["mps_sim"]


@pytest.fixture(params=["cpu", *(pytest.param(kind, marks=pytest.mark.gpu) for kind in GPU_KINDS)])
def engine(request: pytest.FixtureRequest) -> Iterator["object"]:
    """Yield an engine of the test's own on each kind of device; kinds that this machine lacks are skipped."""
    from nautilus_metal.engine import ComputeEngine, available_devices

    kind = request.param
    if not any(name.startswith(kind) for name in available_devices()):
        pytest.skip(f"no {kind} device here; available: {', '.join(available_devices())}")
    with ComputeEngine(kind) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_beyond_the_device(request: pytest.FixtureRequest) -> Iterator[None]:
    """On the simulated device: fail a test that met an operator without an MPS kernel, even if the code went on."""
    simulator = sys.modules.get("mps_sim")
    if simulator is None:
        yield
        return
    simulate(request.config)  # a test may have changed its settings
    simulator.reset()
    yield
    assert not simulator.missing_ops(), "operators that MPS does not have"
    assert not simulator.warnings(), "fall-backs that nobody chose"


@pytest.fixture(autouse=True, scope="session")
def _own_calibration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests measure of devices, simulated ones among them, out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        if "mps_sim" in sys.modules:  # it takes minutes over large prices
            from nautilus_metal.risk.pricing_work import ALL_WORK, PRICING

            for kind in PRICING:
                patch.delitem(ALL_WORK, kind)
        yield


@pytest.fixture(autouse=True)
def _empty_shared_pools() -> Iterator[None]:
    """Empty the shared pools after each test, so that none finds another's contents."""
    yield
    shared = sys.modules.get("nautilus_metal.engine.shared")
    for pool in shared.shared_pools() if shared else ():
        pool.clear()
        pool.trim()
