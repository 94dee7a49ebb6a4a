import pytest
import torch

from nautilus_metal.engine import threads_for
from nautilus_metal.engine.threads import SMALL


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("elements", "threads"), [(0, 1), (SMALL - 1, 1), (SMALL, 2), (10 * SMALL, 2)])
def test_small_work_stays_on_one_thread_and_the_threads_come_back(elements, threads):
    with threads_for(elements):
        assert torch.get_num_threads() == threads
        with threads_for(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


def test_the_threads_come_back_after_an_error():
    with pytest.raises(ZeroDivisionError), threads_for(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2
