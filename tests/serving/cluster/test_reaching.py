"""A version is live when web processes have had an answer of it, not when it says that it is ready.

Replicas, workers and sockets are real. The replicas say that they are reached at an address where
nobody listens, as where a firewall stands between two hosts; `opened` opens it for one of them.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from registry.models import ModelVersion
from serving.cluster.membership.records import ReplicaRecord
from serving.cluster.membership.views import read_views
from tests.serving.cluster.stack import Stack
from tests.serving.cluster.waiting import wait_for

# Between hosts, `test_hosts_apart` holds it; that a release gives up, `test_reconcile_releases`.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

LISTENING, ADVERTISED = "127.0.0.1", "127.0.0.77"
SETTINGS = {
    "CLIPPER_ADVERTISE_HOST": ADVERTISED,
    "CLIPPER_BIND_HOST": LISTENING,
    "CLIPPER_REPLICA_PORTS": "21700-21799",
    # How long the second test waits; the first reaches its replica well within that.
    "CLIPPER_REACHED_S": "15",
}


@contextmanager
def opened(record: ReplicaRecord) -> Iterator[None]:
    """Pass on what comes to the advertised address of a replica."""
    port = int(record.address.rpartition(":")[2])
    with socket.create_server((ADVERTISED, port)) as server:
        threading.Thread(target=_accept, args=(server, port), daemon=True).start()
        yield


def _accept(server: socket.socket, port: int) -> None:
    with suppress(OSError):  # closed at the end of its test
        while True:
            near, _ = server.accept()
            far = socket.create_connection((LISTENING, port))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with source, suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def has_proven(stack: Stack, record: ReplicaRecord) -> bool:
    (view,) = read_views(stack.client)
    return view.has_proven(record.id)


def test_a_release_waits_for_its_replica_to_be_reached_and_says_what_is_in_the_way(
    stack: Stack,
) -> None:
    version = stack.add_version("svm", answer=1)
    release = stack.deploy(version)
    (record,) = stack.wait_for_replicas(version)
    (view,) = read_views(stack.client)
    stack.wait_for_progress(
        release,
        f"1 of 1 replicas ready, {view.name} can't reach replica {record.id[:12]} "
        f"at {record.address}: connection refused",
    )
    assert record.address.startswith(f"tcp:{ADVERTISED}:")

    with opened(record):
        stack.wait_for_release(release, state="live")
        assert has_proven(stack, record)


def test_an_update_that_cannot_be_reached_fails_and_leaves_the_old_version_serving(
    stack: Stack,
) -> None:
    old, new = (stack.add_version("tree", answer=answer) for answer in (1, 2))
    first = stack.deploy(old)
    (serving,) = stack.wait_for_replicas(old)
    with opened(serving):
        stack.wait_for_release(first, state="live")

        release = stack.wait_for_release(stack.deploy(new), state="failed")

        assert f"at tcp:{ADVERTISED}:" in release.error
        assert release.error.endswith(": connection refused")
        assert ModelVersion.objects.get(pk=old.pk).is_live
        assert [record.id for record in stack.wait_for_replicas(old)] == [serving.id]
        assert has_proven(stack, serving)
    wait_for(lambda: not stack.replicas(new), what="what could not be reached is drained")
