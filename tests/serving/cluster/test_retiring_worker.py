"""A worker with real replicas retires to another one beside it."""

from __future__ import annotations

import psutil
import pytest

from serving.cluster.control.retirement import Retirement
from serving.cluster.membership.workers import worker_id
from serving.rpc.frames import Answer, AnswerStatus
from tests.serving.cluster.asking import Peer
from tests.serving.cluster.stack import CPU, WORKER, Stack

pytestmark = [pytest.mark.timeout(240), pytest.mark.long]

OWN_STACK = True
BESIDE = [*WORKER, *CPU[:-4], "-n", "cpu-2@%h", *CPU[-2:]]


def retire(stack: Stack, worker: psutil.Popen, *, beside: psutil.Popen) -> list[str]:
    retirement = Retirement(
        client=stack.client,
        directory=stack.directory,
        worker=worker_id(worker.pid),
        beside=worker_id(beside.pid),
        lives=worker.is_running,
    )
    return list(retirement.run())


def test_every_replica_moves_to_the_other_worker_and_answers_there(stack: Stack) -> None:
    versions = [stack.add_version(name, answer=4) for name in ("one", "two")]
    for version in versions:
        stack.deploy_and_wait(version)
    before = [stack.wait_for_replicas(version)[0] for version in versions]
    old = stack.workers["cpu"]
    stack.start_process("cpu-2", BESIDE)
    new = stack.workers["cpu-2"]

    said = retire(stack, old, beside=new)

    assert said == [
        "the worker that takes over is there, 2 replicas to move",
        "one:1 has moved, 1 left",
        "two:1 has moved, 0 left",
    ]
    after = [stack.wait_for_replicas(version)[0] for version in versions]
    assert {record.worker for record in before} == {worker_id(old.pid)}
    assert {record.worker for record in after} == {worker_id(new.pid)}
    stack.stop_workers("cpu")  # takes none of them along
    for record in after:
        with Peer(record.address) as peer:
            assert peer.ask(b"[1.0, 2.0]") == [Answer(AnswerStatus.OK, b"4")]
