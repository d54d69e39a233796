"""A worker with real replicas retires to another one beside it."""

import psutil
import pytest

from registry.models import ModelVersion
from serving.cluster.control.moves.retirement import Retirement
from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.views import read_views
from serving.cluster.membership.workers import worker_id
from serving.rpc.frames.codec import Answer, AnswerStatus
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import CPU, SLOTS, WORKER, Stack
from tests.serving.cluster.wait_until import wait_for

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

# On a busy machine, too, all replicas have moved by then.
SETTINGS = {"CLIPPER_RETIRE_S": "300"}
BESIDE = [*WORKER, *CPU[:-1], "cpu-2@%h"]


def retirement(stack: Stack, worker: psutil.Popen) -> Retirement:
    return Retirement(
        client=stack.client,
        directory=stack.directory,
        worker=worker_id(worker.pid),
        lives=worker.is_running,
    )


def test_every_replica_moves_to_the_other_worker_and_answers_there(stack: Stack) -> None:
    versions = [stack.add_version(name, answer=4) for name in ("one", "two")]
    for version in versions:
        stack.deploy_and_wait(version)
    before = [stack.wait_for_replicas(version)[0] for version in versions]
    old = stack.workers["cpu"]
    stack.start_process("cpu-2", BESIDE)
    new = stack.workers["cpu-2"]

    said = list(retirement(stack, old).run())

    assert said == [
        "asked to retire, 2 replicas to move",
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


def test_more_than_there_are_slots_for_keeps_nothing_that_answers_from_moving(stack: Stack) -> None:
    """Every slot is taken and a replica waits, which the new worker would take first."""
    versions = [stack.add_version(name, answer=4) for name in ("first", "second", "third")]
    stack.retire("one", "two")
    for version in versions:
        stack.deploy_and_wait(version)
    stack.scale_beyond(versions[0], replicas=2)
    old = stack.workers["cpu-2"]

    moves = retirement(stack, old).run()
    said = [next(moves)]
    stack.start_process("cpu", [*WORKER, *CPU])
    new = stack.workers["cpu"]
    said += moves

    assert said[-1].endswith("has moved, 0 left")
    for version in versions:
        assert {r.worker for r in stack.wait_for_replicas(version)} == {worker_id(new.pid)}


def test_a_worker_that_gets_sigterm_moves_its_replicas_before_it_ends(stack: Stack) -> None:
    stack.stop_workers("cpu-2")
    stack.retire("first", "second", "third")
    version = stack.add_version("kept", answer=4)
    stack.deploy_and_wait(version)
    stack.start_process("cpu-2", BESIDE)
    stack.wait_for_slots("cpu", total=2 * SLOTS)
    worker = stack.workers.pop("cpu")

    worker.terminate()
    seen = []
    while worker.poll() is None:
        seen.append(sum(r.state is ReplicaState.READY for r in stack.replicas(version)))

    assert worker.wait(timeout=20) == 0
    assert min(seen) == 1
    assert {r.worker for r in stack.wait_for_replicas(version)} == {
        worker_id(stack.workers["cpu-2"].pid)
    }


def test_a_worker_ends_at_once_where_no_other_one_could_take_its_replicas(stack: Stack) -> None:
    worker = stack.workers.pop("cpu-2")

    worker.terminate()

    assert worker.wait(timeout=60) == 0
    log = (stack.var / "cpu-2.log").read_text()
    assert "no other worker takes replicas from its queue" in log


def test_a_worker_of_a_stack_that_ends_moves_nothing(stack: Stack) -> None:
    """Its web processes go first, so that nobody asks the replicas any more."""
    version = ModelVersion.objects.get(model__name="kept")
    stack.start_process("cpu-3", [*WORKER, *CPU])
    stack.wait_for_replicas(version)
    stack.start_process("cpu-4", BESIDE)
    stack.wait_for_slots("cpu", total=2 * SLOTS)
    assert stack.web is not None
    stack.web.stop()
    wait_for(lambda: not read_views(stack.client), what="no web process")
    worker = stack.workers.pop("cpu-3")

    worker.terminate()

    assert worker.wait(timeout=60) == 0
    assert "leaving:" not in (stack.var / "cpu-3.log").read_text()
