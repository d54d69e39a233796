"""A worker is killed: its spare has the replicas until there is a worker again, and then ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.workers import worker_id
from serving.rpc.frames import Answer, AnswerStatus
from tests.serving.cluster.asking import Peer
from tests.serving.cluster.stack import CPU, WORKER, Stack, is_gone
from tests.serving.cluster.waiting import wait_for

pytestmark = pytest.mark.timeout(600)

WORKERS = ("control",)
WITH_SPARE = [*WORKER, *CPU, "--spare"]


@pytest.fixture
def worker(stack: Stack) -> Iterator[psutil.Popen]:
    stack.start_process("cpu", WITH_SPARE)
    worker = stack.workers["cpu"]
    yield worker
    stack.stop_workers(*stack.workers.keys() & {"cpu"})
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][1:] == WITH_SPARE:
            environment = process.environ()
            if environment.get("CLIPPER_VAR") == str(stack.var):
                process.kill()


def test_the_spare_of_a_killed_worker_serves_until_there_is_one_again(
    stack: Stack, worker: psutil.Popen
) -> None:
    version = stack.add_version("one", answer=4)
    stack.deploy_and_wait(version)

    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(timeout=60)
    (record,) = wait_for(
        lambda: [
            one
            for one in stack.replicas(version)
            if one.state is ReplicaState.READY and one.worker != worker_id(worker.pid)
        ],
        what="a replica of the spare",
    )
    with Peer(record.address) as peer:
        assert peer.ask(b"[1.0, 2.0]") == [Answer(AnswerStatus.OK, b"4")]
    spare = int(record.worker.rpartition("-")[2])
    assert "stands in for" in (stack.var / "log" / "stand-in.log").read_text()

    stack.start_process("cpu", WITH_SPARE)
    seen = []
    while not is_gone(spare):
        seen.append(sum(r.state is ReplicaState.READY for r in stack.replicas(version)))

    assert min(seen) == 1
    (after,) = stack.wait_for_replicas(version)
    assert after.worker == worker_id(stack.workers["cpu"].pid)


def test_a_worker_that_is_told_to_end_takes_its_spare_along(
    stack: Stack, worker: psutil.Popen
) -> None:
    wait_for(lambda: len(worker.children()) > 1, what="a spare and slots")
    stack.wait_for_slots("cpu")
    children = worker.children()

    stack.stop_workers("cpu")

    wait_for(lambda: all(is_gone(child.pid) for child in children), what="all are gone")
