"""A busy predict process gets a core for itself where the replicas need well below one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import msgspec
import pytest
import redis

from infrastructure.expiring_keys import ExpiringKeys
from serving.cluster.host import host_id
from serving.cluster.membership.views import VIEWS, WebView
from serving.cluster.replica import worker
from serving.cluster.replica.cores import LEFT_ALONE_S, Apart, Meter, Usage, threads_below

CORES = os.sched_getaffinity(0) if sys.platform == "linux" else set()
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="there are no two cores to choose from")

IDLE = Usage(predict=0.05, replicas=0.02, foremost=0.02)
BUSY = Usage(predict=0.7, waiting=0.1, replicas=0.3, foremost=0.29)
# Less than a core, and yet others could use the one that the predict process doesn't.
LONG = Usage(predict=0.05, replicas=0.8, foremost=0.8)
HEAVY = Usage(predict=0.5, waiting=0.1, replicas=1.2, foremost=0.9)
CROWDED = Usage(predict=0.4, waiting=0.6, replicas=0.3, foremost=0.29)

SLEEPS = ("sleep", "600")
# Has another thread, and a process that it has started.
REPLICA = f"""
import subprocess, sys, threading
child = subprocess.Popen({SLEEPS!r})
threading.Thread(target=sys.stdin.read).start()
print(flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""


class Told:
    """Tells what the test says."""

    def __init__(self) -> None:
        self.usage = IDLE

    def forget(self) -> None:
        pass

    def read(self, predict: int, *, threads: Iterable[int], at: float) -> Usage:
        return self.usage


class Machine:
    """A predict process and a replica, which do nothing, and what is said that they do."""

    def __init__(self, held: ExitStack, *, replica: int) -> None:
        self._held = held
        self.predict, self.replica = self.started(), replica
        self.predicting = [self.predict]
        self.told = Told()
        self.now = 0.0
        self.apart = Apart(
            predict=lambda: self.predicting,
            replicas=lambda: [self.replica],
            meter=self.told,
            clock=lambda: self.now,
        )

    def started(self) -> int:
        process = self._held.enter_context(subprocess.Popen(SLEEPS))
        self._held.callback(process.kill)
        return process.pid

    def looks(self, usage: Usage, *, times: int = 8) -> None:
        self.told.usage = usage
        for _ in range(times):
            self.now += 1.0
            self.apart.look()

    @property
    def allowed(self) -> list[set[int]]:
        """Where the replica's threads and those of its process may run."""
        threads = list(threads_below(self.replica))
        assert len(threads) >= 3
        return [os.sched_getaffinity(thread) for thread in threads]

    @property
    def are_apart(self) -> bool:
        own = os.sched_getaffinity(self.predict)
        if own == CORES and all(cores == CORES for cores in self.allowed):
            return False
        assert len(own) == 1
        assert all(cores == CORES - own for cores in self.allowed)
        return True


@pytest.fixture(scope="module")
def replica() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", REPLICA], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


@pytest.fixture
def machine(replica: int) -> Iterator[Machine]:
    with ExitStack() as held:
        machine = Machine(held, replica=replica)
        yield machine
        machine.apart.end()


def test_a_busy_predict_process_gets_a_core_and_keeps_it_while_nobody_else_wants_it(
    machine: Machine,
) -> None:
    machine.looks(IDLE)
    assert not machine.are_apart
    machine.looks(BUSY, times=1)
    assert machine.are_apart
    machine.looks(IDLE)
    assert machine.are_apart
    machine.looks(LONG)
    assert not machine.are_apart


def test_replicas_that_need_more_have_all_cores(machine: Machine) -> None:
    machine.looks(HEAVY)
    assert not machine.are_apart
    machine.looks(BUSY)
    assert machine.are_apart
    machine.looks(HEAVY, times=1)
    assert not machine.are_apart


def test_what_was_no_good_is_not_tried_again_at_once(machine: Machine) -> None:
    machine.looks(BUSY)
    machine.looks(HEAVY, times=1)
    machine.looks(BUSY, times=5)
    assert not machine.are_apart
    machine.now += LEFT_ALONE_S
    machine.looks(BUSY, times=1)
    assert machine.are_apart


def test_replicas_that_work_side_by_side_have_all_cores(machine: Machine) -> None:
    machine.looks(Usage(predict=0.7, replicas=0.4, foremost=0.2))
    assert not machine.are_apart


def test_what_is_apart_stays_so_where_smaller_batches_take_more_of_a_core(machine: Machine) -> None:
    more = Usage(predict=0.7, replicas=0.7, foremost=0.7)
    machine.looks(more)
    assert not machine.are_apart
    machine.looks(BUSY)
    machine.looks(more)
    assert machine.are_apart


def test_who_has_to_share_its_core_with_others_may_leave_it_for_a_while(machine: Machine) -> None:
    machine.looks(BUSY)
    machine.looks(CROWDED)
    assert not machine.are_apart
    machine.looks(BUSY, times=1)
    assert not machine.are_apart
    machine.now += LEFT_ALONE_S
    machine.looks(BUSY)
    assert machine.are_apart


def test_one_that_has_little_to_do_may_wait_for_it(machine: Machine) -> None:
    machine.looks(BUSY)
    machine.looks(Usage(predict=0.1, waiting=0.9))
    assert machine.are_apart


def test_beside_another_predict_process_the_kernel_decides(machine: Machine) -> None:
    machine.looks(BUSY)
    machine.predicting.append(machine.started())
    machine.looks(BUSY)
    assert not machine.are_apart


def test_one_that_somebody_else_has_given_a_core_keeps_it(machine: Machine) -> None:
    core = max(CORES)
    os.sched_setaffinity(machine.predict, {core})
    machine.looks(BUSY)
    assert all(cores == CORES - {core} for cores in machine.allowed)
    machine.apart.end()
    assert os.sched_getaffinity(machine.predict) == {core}
    assert all(cores == CORES for cores in machine.allowed)


def test_what_a_predict_process_does_beside_may_run_on_both_cores(machine: Machine) -> None:
    """A thread begins where the one may run that starts it."""
    machine.predict = machine.replica
    machine.predicting[:] = [machine.replica]
    beside = [thread for thread in threads_below(machine.replica) if thread != machine.replica]
    for thread in beside:
        os.sched_setaffinity(thread, {min(CORES)})
    apart = Apart(
        predict=lambda: [machine.replica],
        replicas=list,
        meter=machine.told,
        clock=lambda: machine.now,
    )
    machine.apart = apart
    machine.looks(BUSY)
    assert len(os.sched_getaffinity(machine.replica)) == 1
    assert all(os.sched_getaffinity(thread) == CORES for thread in beside)


def test_a_worker_that_ends_leaves_nobody_apart(machine: Machine) -> None:
    machine.looks(BUSY)
    machine.apart.end()
    assert not machine.are_apart


def test_a_predict_process_that_ends_is_followed_by_the_next_one(machine: Machine) -> None:
    machine.looks(BUSY)
    os.kill(machine.predict, 9)
    os.waitid(os.P_PID, machine.predict, os.WEXITED | os.WNOWAIT)
    machine.looks(BUSY)
    machine.predict = machine.started()
    machine.predicting[:] = [machine.predict]
    machine.looks(BUSY)
    assert machine.are_apart


def test_the_kernel_tells_what_threads_do() -> None:
    """Of two that have run as long, the one that is nicer doesn't count: it loads a model."""
    begin, end, read = (threading.Barrier(3) for _ in range(3))
    found: list[int] = []

    def work(niceness: int) -> None:
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + niceness)
        found.append(own)
        begin.wait(30)
        sum(range(1_000_000))
        end.wait(30)
        read.wait(30)

    threads = [threading.Thread(target=work, args=(niceness,)) for niceness in (0, 1)]
    for thread in threads:
        thread.start()
    meter, me = Meter(niceness=os.getpriority(os.PRIO_PROCESS, 0)), threading.get_native_id()
    while len(found) < 2:
        threads[0].join(0.01)
    assert meter.read(me, threads=found, at=1.0) == Usage()
    begin.wait(30)
    end.wait(30)
    usage = meter.read(me, threads=found, at=2.0)
    read.wait(30)
    for thread in threads:
        thread.join()
    assert usage.predict > 0
    assert 0 < usage.foremost == usage.replicas < 1


def test_a_worker_looks_each_second_at_the_predict_processes_of_its_host(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "redis_client", lambda: client)
    monkeypatch.setattr(worker, "CORES", len(CORES))
    monkeypatch.setattr(worker, "_apart", [])
    looks = []
    pool = SimpleNamespace(info={"processes": [os.getpid()]})
    hub = SimpleNamespace(call_repeatedly=lambda seconds, look: looks.append((seconds, look)))
    for name, here in (("a", host_id()), ("b", "another")):
        _write(VIEWS, WebView(id=name, host="app1", pid=os.getpid(), host_id=here), client)
    assert worker.predicting_here() == [os.getpid()]
    worker.keep_apart_on_few_cores(SimpleNamespace(hub=hub, pool=pool))
    ((seconds, look),) = looks
    look()
    look()  # too soon to tell anything
    assert seconds == worker.WATCH_S
    assert os.sched_getaffinity(0) == CORES


def _write(kind: ExpiringKeys, view: WebView, client: redis.Redis) -> None:
    with client.pipeline() as pipe:
        kind.write(pipe, view.id, text=msgspec.json.encode(view), ttl_s=30.0)
        pipe.execute()
