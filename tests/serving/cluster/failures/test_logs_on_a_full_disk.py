"""Output of models while the disk of their logs is full: it is lost; their answers aren't."""

from collections.abc import Iterator

import pytest

from registry.models import ModelVersion
from serving.cluster.failures.output_log import last_lines, logs_of_version
from serving.cluster.membership.records import ReplicaRecord
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import Stack
from tests.serving.cluster.wait_until import wait_for
from tests.small_disk import SmallDisk, small_disk

# That it is no error of whoever prints, `test_replica_log` holds without a stack.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

# Its logs lie on a disk of their own from the first one on.
OWN_STACK = True
# Of the shorter lines more than fit into the page that a file has begun.
QUERIES = 200
# By Python, by its log, by whoever writes to the descriptor, by a program of its own.
TALKS = b"""
import logging, os, subprocess, sys

class Predictor:
    n_features = 1
    def __init__(self, path):
        print("loaded", flush=True)
    def pred_batch(self, inputs):
        print("printed", "x" * 1000, flush=True)
        sys.stderr.write("complained " + "x" * 1000 + "\\n")
        logging.getLogger("model").warning("logged %s", "x" * 1000)
        for descriptor in (1, 2):
            os.write(descriptor, b"written " + b"x" * 1000 + b"\\n")
        subprocess.run(["echo", "x" * 1000], check=True)
        return [int(row[0]) for row in inputs]
"""


@pytest.fixture(scope="module")
def disk(stack: Stack) -> Iterator[SmallDisk]:
    """A disk for the logs alone, as the first replica will find it."""
    with small_disk(megabytes=4) as disk:
        (stack.var / "log").symlink_to(disk.path)
        yield disk


def lines(stack: Stack, version: ModelVersion) -> list[str]:
    folder = stack.var / "log" / "replicas"
    (file,) = logs_of_version(folder, model=version.model.name, version=version.version)
    return last_lines(file, lines=1000)


def deployed(stack: Stack, version: ModelVersion) -> ReplicaRecord:
    stack.deploy_and_wait(version)
    (record,) = stack.wait_for_replicas(version)
    return record


def ask(peer: Peer, number: int) -> bytes:
    (answer,) = peer.ask(b"[%d]" % number)
    assert answer.status is AnswerStatus.OK, answer
    return answer.payload


def test_a_model_of_its_own_code_that_prints_goes_on_answering(
    stack: Stack, disk: SmallDisk
) -> None:
    version = stack.add_artifact("talks", runtime="python", content=TALKS)
    record = deployed(stack, version)
    with Peer(record.address) as peer:
        ask(peer, 0)
        wait_for(lambda: "printed " + "x" * 1000 in lines(stack, version), what="it is logged")
        disk.fill()
        assert [ask(peer, number) for number in range(QUERIES)] == [
            b"%d" % number for number in range(QUERIES)
        ]
        before = len(lines(stack, version))
        disk.free()
        ask(peer, 1)
        wait_for(lambda: len(lines(stack, version)) > before, what="it goes on")
    assert [one.id for one in stack.wait_for_replicas(version)] == [record.id]
