"""The cluster as a whole, with real processes: what dies is replaced, what must stop drains."""

import os
import signal
import time

import psutil
import pytest

from registry import services
from registry.artifacts.artifact_store import ArtifactStore
from registry.models import (
    Application,
    Model,
    ModelVersion,
    Route,
    ServiceLevelObjective,
)
from registry.releases.control import read_control
from serving.cluster.membership.directory import RECORD_KEY
from serving.cluster.membership.records import ReplicaState
from serving.rpc.frames.codec import Answer, AnswerStatus, FrameType
from tests.examples.example import zipped
from tests.processes import command_of
from tests.serving.cluster.control.scaling.played_web import Web
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import SLOTS, Stack, is_gone
from tests.serving.cluster.wait_until import wait_for

pytestmark = pytest.mark.timeout(600)

PAIR = b"[1.0, 2.0]"
FOUR = Answer(AnswerStatus.OK, b"4")


@pytest.fixture
def version(stack: Stack) -> ModelVersion:
    """The live version that most tests disturb: `svm:1`, one replica."""
    found = ModelVersion.objects.filter(model__name="svm", version="1").first()
    if found is None:
        found = stack.add_version("svm", answer=4)
        stack.deploy_and_wait(found)
    stack.wait_for_replicas(found)
    found.refresh_from_db()
    return found


def test_a_deployed_version_answers_over_its_socket(stack: Stack, version: ModelVersion) -> None:
    (record,) = stack.wait_for_replicas(version)

    with Peer(record.address) as peer:
        answers = peer.ask(PAIR, b'"no pair"')

    hello = peer.hello
    assert (hello.replica, hello.model, hello.version) == (record.id, "svm", "1")
    assert (hello.version_id, hello.generation) == (version.pk, version.generation)
    assert answers[0] == FOUR
    assert answers[1].status is AnswerStatus.INVALID_INPUT


def test_a_killed_replica_is_replaced(stack: Stack, version: ModelVersion) -> None:
    (victim,) = stack.wait_for_replicas(version)

    os.kill(victim.pid, signal.SIGKILL)

    rounds = 0
    while not any(
        record.id != victim.id and record.state in (ReplicaState.LOADING, ReplicaState.READY)
        for record in stack.replicas(version)
    ):
        stack.wait_for_rounds(1)
        rounds += 1
    # Celery by itself gives the slot away up to five seconds later, and a round takes one at least;
    # a replica that nobody takes up is given up after ten.
    assert rounds < 10
    (successor,) = stack.wait_for_replicas(version, apart_from=[victim])
    with Peer(successor.address) as peer:
        assert peer.ask(PAIR) == [FOUR]
    wait_for(lambda: not (stack.run / f"r-{victim.id[:12]}.sock").exists())


def test_a_replica_that_cannot_load_says_why_and_is_tried_again(
    stack: Stack, version: ModelVersion
) -> None:
    (victim,) = stack.wait_for_replicas(version)
    artifact = ArtifactStore.default().path_of(version.digest)
    aside = artifact.with_suffix(".aside")
    artifact.rename(aside)

    os.kill(victim.pid, signal.SIGKILL)
    wait_for(
        lambda: any(version.digest in (one.last_error or "") for one in stack.replicas(version)),
        within_s=120,
        what="a replica says which artifact there isn't",
    )
    aside.rename(artifact)

    stack.wait_for_replicas(version)
    wait_for(lambda: not ModelVersion.objects.get(pk=version.pk).load_error, what="error cleared")


def test_a_replica_that_is_scaled_away_asks_its_peers_to_leave_and_ends(
    stack: Stack, version: ModelVersion
) -> None:
    (first,) = stack.wait_for_replicas(version)
    services.configure_version(version=version, replicas=2, by=services.SYSTEM)
    both = stack.wait_for_replicas(version, count=2)
    (second,) = [record for record in both if record.id != first.id]

    with Peer(second.address) as peer:
        services.configure_version(version=version, replicas=1, by=services.SYSTEM)
        peer.next_frame(FrameType.DRAIN)
        draining = stack.wait_for_replicas(version, state=ReplicaState.DRAINING)
        assert peer.ask(PAIR) == [FOUR]

    assert [record.id for record in draining] == [second.id]
    wait_for(lambda: is_gone(second.pid), what="the process ends")
    assert [record.id for record in stack.wait_for_replicas(version)] == [first.id]


def test_replicas_that_keep_queries_waiting_get_help_until_it_is_over(
    stack: Stack, version: ModelVersion
) -> None:
    services.configure_version(version=version, max_replicas=2, by=services.SYSTEM)
    make_pressure(stack)

    stack.wait_for_replicas(version, count=2)
    version.refresh_from_db()
    assert version.replicas == 2

    services.configure_version(version=version, max_replicas=None, replicas=1, by=services.SYSTEM)
    stack.wait_for_replicas(version)


def make_pressure(stack: Stack) -> None:
    """Have a web process say, each second, that queries wait for the one replica."""
    if not Application.objects.filter(name="digits").exists():
        application = Application.objects.create(name="digits", input_type="doubles")
        ServiceLevelObjective.objects.create(application=application, latency_ms=100.0)
        Route.objects.create(application=application, model=Model.objects.get(name="svm"))
    web = Web(stack.client, now=time.time())

    def scaled() -> bool:
        web.second(waited_s=0.08, busy_s=0.95)
        stack.wait_for_rounds(1)
        return ModelVersion.objects.get(model__name="svm", version="1").replicas > 1

    wait_for(scaled, within_s=60, what="more replicas")
    web.die()


def test_replicas_outlive_a_killed_redis(stack: Stack, version: ModelVersion) -> None:
    (before,) = stack.wait_for_replicas(version)

    with Peer(before.address) as peer:
        # Its worker is busy meanwhile: it hears of the end once Redis is back.
        stack.workers["cpu"].suspend()
        stack.redis_server.kill()
        assert peer.ask(PAIR) == [FOUR]
        stack.redis_server.start()
        stack.workers["cpu"].resume()
        # As if its record had expired meanwhile: still nobody may take the replica for lost.
        stack.client.delete(RECORD_KEY + before.id)

        (after,) = stack.wait_for_replicas(version)
        services.configure_version(version=version, replicas=2, by=services.SYSTEM)
        both = stack.wait_for_replicas(version, count=2)
        assert peer.ask(PAIR) == [FOUR]

    assert (after.id, after.pid) == (before.id, before.pid)
    assert after in both or before.id in {record.id for record in both}
    services.configure_version(version=version, replicas=1, by=services.SYSTEM)
    stack.wait_for_replicas(version)


def test_a_control_worker_that_hangs_is_known_by_its_last_round(
    stack: Stack, version: ModelVersion
) -> None:
    control = stack.workers["control"]

    def age_s() -> float:
        age = read_control(stack.client).age_s
        assert age is not None
        return age

    control.suspend()
    try:
        wait_for(lambda: age_s() > 11, within_s=40, what="its last round grows old")
        assert f"(process {control.pid} on " in read_control(stack.client).problem
    finally:
        control.resume()

    wait_for(lambda: not read_control(stack.client).problem, what="it does rounds again")


def test_a_worker_told_to_stop_drains_its_replicas_first(
    stack: Stack, version: ModelVersion
) -> None:
    (record,) = stack.wait_for_replicas(version)
    worker = stack.workers["cpu"]

    with Peer(record.address) as peer:
        worker.terminate()
        peer.next_frame(FrameType.DRAIN)
        assert peer.ask(PAIR) == [FOUR]

    assert worker.wait(timeout=40) == 0
    assert record.id not in {one.id for one in stack.replicas(version)}
    assert not (stack.run / f"r-{record.id[:12]}.sock").exists()
    stack.start_worker("cpu")
    stack.wait_for_replicas(version, apart_from=[record])


def test_a_killed_worker_leaves_no_orphans(stack: Stack, version: ModelVersion) -> None:
    (before,) = stack.wait_for_replicas(version)
    worker = stack.workers["cpu"]
    # Forked again, after the first ones: those must not outlive their parent either.
    os.kill(before.pid, signal.SIGKILL)
    (before,) = stack.wait_for_replicas(version, apart_from=[before])
    # The slots, the server that forks models, and the model.
    forks: list[psutil.Process] = wait_for(
        lambda: now if len(now := worker.children(recursive=True)) >= SLOTS + 2 else None,
        what="all forks",
    )

    worker.kill()
    worker.wait(timeout=40)

    wait_for(lambda: all(is_gone(fork.pid) for fork in forks), within_s=60, what="no orphans")
    stack.start_worker("cpu")
    stack.wait_for_replicas(version, apart_from=[before])


FORK_SERVER = "serving.container.child.fork_server"


def fork_servers(stack: Stack) -> list[psutil.Process]:
    children = [child for worker in stack.workers.values() for child in worker.children()]
    return [child for child in children if FORK_SERVER in command_of(child)]


def test_replicas_are_replaced_when_their_fork_server_is_killed(stack: Stack) -> None:
    version = stack.add_version("forked", answer=1)
    stack.deploy_and_wait(version)
    (record,) = stack.wait_for_replicas(version)
    (server,) = [one for one in fork_servers(stack) if one.children()]
    server.kill()
    stack.wait_for_replicas(version, apart_from=[record])
    assert server.pid not in {one.pid for one in fork_servers(stack)}
    stack.retire("forked")


def test_an_executable_is_deployed_served_replaced_and_drained(stack: Stack) -> None:
    version = stack.add_artifact("sizes", runtime="command", content=zipped())
    stack.deploy_and_wait(version)
    (first,) = stack.wait_for_replicas(version)
    with Peer(first.address) as peer:
        large, small, bad = peer.ask(b"[1, 2]", b"[-1, -2]", b"[1]")
    assert (large.payload, small.payload) == (b'"large"', b'"small"')
    assert bad.status is AnswerStatus.INVALID_INPUT

    (executable,) = psutil.Process(first.pid).children()
    executable.kill()
    (second,) = stack.wait_for_replicas(version, apart_from=[first])
    with Peer(second.address) as peer:
        assert peer.ask(b"[1, 2]") == [large]

    (executable,) = psutil.Process(second.pid).children()
    stack.retire("sizes")
    wait_for(lambda: is_gone(executable.pid), what="the executable's end")
