"""v2 logs what a callback raises and goes on; a run with a callback of ours that failed fails."""

import pytest

from nautilus_metal.errors import InputError
from nautilus_metal.host import Actor, after_time_stamp, every
from tests.small_system import bar_type, walk

NAME = "AAA.XNYS"


class Failing(Actor):
    where = "bar"

    def on_start(self) -> None:
        self.bars = 0
        self.subscribe_bars(bar_type(NAME))
        self.fail("start")
        every(self, "timer", 3 * 86_400.0, lambda: self.fail("timer"))
        self.msgbus.subscribe("topic", lambda _message: self.fail("topic"))

    def on_bar(self, bar) -> None:
        self.bars += 1
        self.fail("bar")
        self.msgbus.publish("topic", 1)
        after_time_stamp(self, "after", lambda: self.fail("after"))

    def on_stop(self) -> None:
        self.fail("stop")

    def fail(self, where: str) -> None:
        if where == self.where:
            raise InputError(f"failed at {where}")


@pytest.mark.parametrize("where", ["start", "bar", "timer", "topic", "after", "stop"])
def test_a_failure_makes_the_run_fail(system, where):
    actor = Failing()
    actor.where = where
    one = system().add(NAME, walk(1, 30))
    with pytest.raises(InputError, match=f"^failed at {where}"):
        one.run([actor])
    if where != "stop":
        assert actor.bars < 30, "the run went on to the end"


def test_a_good_run_after_a_failed_one_is_good(system):
    bad, good = Failing(), Failing()
    good.where = "nowhere"
    with pytest.raises(InputError):
        system().add(NAME, walk(1, 30)).run([bad])
    system().add(NAME, walk(1, 30)).run([good])
    assert good.bars == 30


def test_a_handler_that_subscribes_at_each_start_hears_once(system):
    heard: list = []

    class Ear(Actor):
        def on_start(self) -> None:
            self.subscribe_bars(bar_type(NAME))
            self.msgbus.subscribe("topic", heard.append)

        def on_bar(self, bar) -> None:
            self.msgbus.publish("topic", 1)

    one = system().add(NAME, walk(1, 5)).run([Ear()])
    one.engine.reset()
    one.engine.run()
    assert len(heard) == 10
