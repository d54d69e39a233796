"""In a real stack: what a model raises and prints can be read afterwards, whatever became of it."""

import pytest

from serving.cluster.failures.error_log import ErrorLog, KnownError, Phase
from serving.cluster.failures.output_log import last_lines, logs_of_version
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import Stack
from tests.serving.cluster.wait_until import wait_for

pytestmark = pytest.mark.timeout(600)

TALKS = b"""
import os

class Panic(BaseException): pass

class Predictor:
    n_features = 1
    def __init__(self, path):
        print("loading")
    def pred_batch(self, inputs):
        return [self.answer(row[0]) for row in inputs]
    def answer(self, number):
        if number == 2:
            os.write(2, b"about to panic\\n")
            raise Panic("no such row")
        return number
"""
# Loads where it is checked, and not in a replica.
FAILS_IN_A_REPLICA = b"""
import os

class Predictor:
    def __init__(self, path):
        if "clipper-check-" not in os.environ.get("TMPDIR", ""):
            print("about to fail")
            raise ValueError("head\\0\\ud800" + "x" * 5_000_000)
    def pred_batch(self, inputs):
        return [0] * len(inputs)
"""


def errors_of(stack: Stack, version_id: int) -> list[KnownError]:
    return ErrorLog(stack.client).read(version_id)


def test_what_a_replica_s_model_raises_and_prints_can_be_read(stack: Stack) -> None:
    version = stack.add_artifact("talks", runtime="python", content=TALKS)
    stack.deploy_and_wait(version)
    (record,) = stack.wait_for_replicas(version)

    with Peer(record.address) as peer:
        good, bad, other = peer.ask(b"[1]", b"[2]", b"[4]")

    assert (bad.status, bad.payload) == (AnswerStatus.MODEL_FAILED, b"Panic: no such row")
    assert (good.payload, other.payload) == (b"1.0", b"4.0")
    wait_for(lambda: errors_of(stack, version.pk), what="the error is passed on")
    (known,) = errors_of(stack, version.pk)
    assert (known.error, known.phase, known.replica) == (
        "Panic: no such row",
        Phase.SERVE,
        record.id,
    )
    assert 'File "predictor.py", line 15, in Predictor.answer' in known.traceback
    assert 'raise Panic("no such row")' in known.traceback
    (file,) = logs_of_version(stack.var / "log" / "replicas", model="talks", version="1")
    lines = last_lines(file, lines=100)
    assert lines[0] == "loading"
    assert "about to panic" in lines
    assert "loading" not in (stack.var / "cpu.log").read_text().splitlines()
    stack.retire("talks")


def test_what_fails_in_every_replica_ends_its_release_with_where_it_failed(stack: Stack) -> None:
    version = stack.add_artifact("unloadable", runtime="python", content=FAILS_IN_A_REPLICA)

    release = stack.wait_for_release(stack.deploy(version), state="failed")

    assert release.error.startswith("Predictor(path) failed: ValueError: head\\x00\\ud800xxx")
    assert 'File "predictor.py", line 8, in Predictor.__init__' in release.error
    assert len(release.error) < 5000
    (known,) = errors_of(stack, version.pk)
    assert known.phase is Phase.LOAD
    assert known.count >= 1
    file = logs_of_version(stack.var / "log" / "replicas", model="unloadable", version="1")[0]
    assert "about to fail" in last_lines(file, lines=100)
