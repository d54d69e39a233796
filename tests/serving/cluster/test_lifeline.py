"""A child learns of its parent's end, however that comes about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from serving.cluster.parent import Lifeline, process_lives
from tests.serving.cluster.stack import is_gone
from tests.serving.cluster.waiting import wait_for

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "serving.cluster.parent", "timeit",
                          "-n1", "-r1", "-s", "print('up', flush=True)",
                          "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's parent-death signal")
def test_a_module_run_by_it_dies_with_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == b"up\n"

        parent.kill()

    wait_for(lambda: is_gone(child), within_s=30, what="the child to end")


def test_arguments_reach_the_module_that_is_run() -> None:
    command = [sys.executable, "-m", "serving.cluster.parent", "timeit", "-n1", "-r1", "pass"]

    done = subprocess.run(command, capture_output=True, timeout=30, check=True)

    assert b"1 loop" in done.stdout


def test_a_cut_lifeline_is_seen_by_every_child() -> None:
    lifeline = Lifeline()
    first, second = (_fork_until_cut(lifeline) for _ in range(2))
    assert not lifeline.is_cut()

    lifeline.cut()

    assert [os.waitpid(pid, 0)[1] for pid in (first, second)] == [0, 0]
    # One that is forked only now sees it, too.
    assert os.waitpid(_fork_until_cut(lifeline), 0)[1] == 0


def test_a_live_process_lives_and_others_do_not() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_lives(process.pid)

    process.send_signal(signal.SIGKILL)

    # Dead, and not yet reaped.
    wait_for(lambda: not process_lives(process.pid))
    process.communicate(timeout=30)
    assert not process_lives(process.pid)


def _fork_until_cut(lifeline: Lifeline) -> int:
    """Fork a child that ends with 0 when the lifeline is cut, with 1 should it wait in vain."""
    pid = os.fork()
    if pid == 0:
        import select

        lifeline.hold()
        readable, _, _ = select.select([lifeline.descriptor], [], [], 10)
        os._exit(0 if readable and lifeline.is_cut() else 1)
    return pid
