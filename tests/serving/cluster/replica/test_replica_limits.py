"""Models that hang, crash or take too much, in real processes: each ends alone and says why."""

import json
import os
import signal

import pytest

from registry import services
from registry.models import ModelVersion
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState, memory_of
from serving.container.sandbox.family import read_processes
from serving.rpc.frames.codec import encode_predict
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import BY, Stack, is_gone
from tests.serving.cluster.wait_until import wait_for

pytestmark = pytest.mark.timeout(600)

HUNG_S = 10
MIB = 1 << 20
SETTINGS = {"CLIPPER_HUNG_S": str(HUNG_S)}

# Each of its inputs does the harm of its name; the first number says which.
HARMFUL = b"""
import ctypes, os, time
import numpy as np
from threadpoolctl import threadpool_info

class Predictor:
    n_features = 2
    def __init__(self, path):
        np.ones((64, 64)) @ np.ones((64, 64))
    def pred_batch(self, inputs):
        return [self.answer(int(row[0]), int(row[1])) for row in inputs]
    def answer(self, harm, amount):
        if harm == 2:
            while True: pass
        if harm == 3:
            ctypes.PyDLL(None).sleep(1000)  # unlike CDLL, it keeps the interpreter to itself
        if harm == 4:
            self.hoard = np.ones(amount << 17)
        if harm == 6:
            for _ in range(amount):
                if (forked := os.fork()) == 0:
                    if os.fork() == 0:
                        held = np.ones(100 << 17)
                        time.sleep(600)
                    os._exit(0)
                os.waitpid(forked, 0)
            return os.getpid()
        if harm == 5:
            return max(library["num_threads"] for library in threadpool_info())
        return harm
"""
SPIN, KEEP_THE_INTERPRETER, HOARD_MIB, COUNT_THREADS, FORK_TWICE = 2, 3, 4, 5, 6
# Passes the validation, which knows nothing of the stack.
CRASHES_IN_A_REPLICA = b"""
import os, signal, sys

class Predictor:
    def __init__(self, path):
        if "answer" in sys.argv:
            %s
    def pred_batch(self, inputs):
        return [0] * len(inputs)
"""


def row(harm: int, amount: int = 0) -> bytes:
    return json.dumps([harm, amount]).encode()


def deployed(stack: Stack, name: str, **fields: object) -> tuple[ModelVersion, ReplicaRecord]:
    version = stack.add_artifact(name, runtime="python", content=HARMFUL, **fields)
    stack.deploy_and_wait(version)
    (record,) = stack.wait_for_replicas(version)
    return version, record


def sent(record: ReplicaRecord, harm: int, amount: int = 0) -> None:
    """Send a query whose answer is not worth waiting for."""
    with Peer(record.address) as peer:
        peer.send(encode_predict(7, [row(harm, amount)]))
        wait_for(lambda: is_gone(record.pid), within_s=HUNG_S + 120, what="the process ends")


def wait_for_the_failed(stack: Stack, version: ModelVersion) -> ReplicaRecord:
    (failed,) = stack.wait_for_replicas(version, state=ReplicaState.FAILED)
    return failed


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(SPIN, id="spin", marks=pytest.mark.long),
        pytest.param(KEEP_THE_INTERPRETER, id="keep"),
    ],
)
def test_a_model_that_hangs_is_ended_and_replaced(stack: Stack, harm: int) -> None:
    version, record = deployed(stack, f"hangs-{harm}")

    sent(record, harm)

    failed = wait_for_the_failed(stack, version)
    assert failed.id == record.id
    assert failed.last_error == f"the model hung: a batch took more than {HUNG_S} s"
    (successor,) = stack.wait_for_replicas(version, apart_from=[record])
    with Peer(successor.address) as peer:
        assert peer.ask(row(1))[0].payload == b"1"
    of_version = ModelVersion.objects.filter(pk=version.pk, load_error=failed.last_error)
    wait_for(of_version.exists, what="its reason")
    # Two rounds see the successor ready: one that loads doesn't disprove the failure.
    stack.wait_for_rounds(3)
    assert of_version.exists()
    assert not (stack.run / f"r-{record.id[:12]}.sock").exists()
    stack.retire(version.model.name)


def test_a_model_over_its_memory_limit_is_ended_and_replaced(stack: Stack) -> None:
    version, record = deployed(stack, "hoards", memory_limit_mb=256)
    with Peer(record.address) as peer:
        assert peer.ask(row(HOARD_MIB, 100))[0].payload == b"4"

    def reported() -> bool:
        taken = memory_of(own_directory().read()).get(version.pk, 0)
        return 100 * MIB < taken < 150 * MIB

    wait_for(reported, what="its heartbeat says what the model holds")
    sent(record, HOARD_MIB, 280)

    failed = wait_for_the_failed(stack, version)
    assert "more than its memory limit of 256 MiB" in (failed.last_error or "")
    stack.wait_for_replicas(version, apart_from=[record])
    stack.retire("hoards")


def test_orphans_end_with_a_replica_that_is_killed(stack: Stack) -> None:
    version, record = deployed(stack, "killed")
    with Peer(record.address) as peer:
        group = int(peer.ask(row(FORK_TWICE, 3))[0].payload)
    assert len(_in_group(group)) == 4
    # The worker has looked at what there is.
    stack.wait_for_rounds(2)

    os.kill(record.pid, signal.SIGKILL)

    wait_for(lambda: not _in_group(group), what="the orphans have ended")
    stack.wait_for_replicas(version, apart_from=[record])
    stack.retire("killed")


def _in_group(group: int) -> list[int]:
    return [pid for pid, process in read_processes().items() if process.group == group]


@pytest.mark.parametrize(
    ("crash", "how", "where"),
    [
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "signal 11 (SIGSEGV)",
            '\n\n  File "predictor.py", line 7, in __init__',
        ),
        pytest.param("os._exit(7)", "exit code 7", "", marks=pytest.mark.long),
    ],
)
def test_a_model_that_crashes_its_replicas_fails_the_release_after_a_few(
    stack: Stack, crash: str, how: str, where: str
) -> None:
    content = CRASHES_IN_A_REPLICA % crash.encode()
    version = stack.add_artifact(f"crashes-{how[-2]}", runtime="python", content=content)

    release = stack.wait_for_release(stack.deploy(version), state="failed")

    assert release.error == f"its process ended with {how}, while the model was loading{where}"
    version.refresh_from_db()
    assert version.load_error == release.error
    assert len(stack.replicas(version)) <= 3, "it backed off"

    def told() -> set[str]:
        return {r.last_error for r in stack.replicas(version) if r.last_error}

    wait_for(lambda: told() == {release.error}, what=f"only {release.error!r} is told")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_replica_has_as_many_threads_as_its_version_says(stack: Stack, threads: int) -> None:
    version, record = deployed(stack, f"threads-{threads}", threads=threads)

    with Peer(record.address) as peer:
        assert int(peer.ask(row(COUNT_THREADS))[0].payload) == threads

    stack.retire(version.model.name)


def test_a_model_has_the_time_to_load_that_its_version_gives_it(stack: Stack) -> None:
    content = CRASHES_IN_A_REPLICA % b"__import__('time').sleep(600)"
    slow = stack.add_artifact("slow", runtime="python", content=content, load_timeout_s=10)

    release = stack.deploy(slow)

    wait_for(
        lambda: any(one.state is ReplicaState.FAILED for one in stack.replicas(slow)),
        within_s=150,
        what="the replica is ended",
    )
    reasons = {one.last_error for one in stack.replicas(slow)} - {None}
    assert reasons == {"the model did not load within 10 s"}
    services.roll_back(model=slow.model, by=BY)
    release.refresh_from_db()
    assert release.state == "superseded"
