"""The rhythm of the work to be done each second, which a failure doesn't end."""

import threading

import pytest

from serving.cluster.control.rhythm import Rhythm
from tests.serving.cluster.wait_until import wait_for


class Calls:
    """Counts its calls; those of `failing` raise."""

    def __init__(self, *, failing: frozenset[int] = frozenset()) -> None:
        self.count = 0
        self._failing = failing

    def __call__(self) -> None:
        self.count += 1
        if self.count in self._failing:
            raise OSError("away")


def test_what_fails_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls(failing=frozenset({1, 2, 3}))
    rhythm = Rhythm(calls, interval_s=0.01, name="test")
    rhythm.start()
    wait_for(lambda: calls.count >= 5)
    rhythm.stop()
    rhythm.join(within_s=60)

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "away" in caplog.text


def test_it_ends_after_the_call_under_way() -> None:
    entered, leave, calls = threading.Event(), threading.Event(), Calls()

    def work() -> None:
        calls()
        entered.set()
        leave.wait(timeout=30)

    rhythm = Rhythm(work, interval_s=0.0, name="test")
    rhythm.start()
    assert entered.wait(timeout=30)
    rhythm.stop()
    leave.set()
    rhythm.join(within_s=30)
    assert calls.count == 1
