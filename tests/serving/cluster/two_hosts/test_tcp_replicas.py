"""With a host to advertise, replicas are reached over TCP by whoever knows the cluster's secret."""

import asyncio

import psutil
import pytest
from django.conf import settings

from core.specs import VersionSpec
from registry.following.reading import version_spec
from registry.models import ModelVersion
from serving.cluster.membership.records import ReplicaRecord
from serving.engine.outcome import Outcome, Status
from serving.rpc.tcp.credentials import Credentials
from serving.testing import hello_of
from tests.examples.example import zipped
from tests.serving.cluster.running_stack import Stack, is_gone
from tests.serving.cluster.wait_until import wait_for
from tests.serving.web.linked import Linked

# One host reaches the ports of another one in `test_hosts_apart`; secrets are in `test_links_tcp`.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PORTS = range(21800, 21900)
SETTINGS = {
    "CLIPPER_ADVERTISE_HOST": "127.0.0.1",
    "CLIPPER_REPLICA_PORTS": f"{PORTS[0]}-{PORTS[-1]}",
}
CREDENTIALS = Credentials(secret=settings.CLIPPER_CLUSTER_SECRET.encode())


@pytest.fixture(scope="module")
def hosts() -> None:
    """All of the stack is on this host."""


def ask(record: ReplicaRecord, version: VersionSpec, *inputs: bytes) -> list[Outcome]:
    """Ask one replica as a web process does."""

    listed = hello_of(version, replica=record.id)

    async def asked() -> list[Outcome]:
        at = {record.id: record.address}
        async with Linked.to(at, credentials=CREDENTIALS, hello=listed) as web:
            await web.connected(version)
            return await web.ask(version, *inputs)

    return asyncio.run(asked())


def executables(version: ModelVersion, *, stack: Stack) -> list[psutil.Process]:
    """The processes that a version's replicas have started."""
    records = stack.wait_for_replicas(version)
    return [child for record in records for child in psutil.Process(record.pid).children()]


def test_an_executable_is_deployed_served_replaced_and_drained(stack: Stack) -> None:
    """A container in another language, in the cluster from its upload to its end."""
    foreign = stack.add_artifact("sizes", runtime="command", content=zipped())
    stack.deploy_and_wait(foreign)
    foreign.refresh_from_db()
    (first,) = stack.wait_for_replicas(foreign)
    answers = ask(first, version_spec(foreign), b"[1, 2]", b"[-1, -2]", b"[1]")
    assert answers[:2] == [(Status.OK, b'"large"'), (Status.OK, b'"small"')]
    assert answers[2].status == Status.INVALID_INPUT

    (child,) = executables(foreign, stack=stack)
    child.kill()
    (second,) = stack.wait_for_replicas(foreign, apart_from=[first])
    assert ask(second, version_spec(foreign), b"[1, 2]") == [(Status.OK, b'"large"')]

    (child,) = executables(foreign, stack=stack)
    stack.retire("sizes")
    wait_for(lambda: is_gone(child.pid), what="the executable's end")
