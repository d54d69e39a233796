"""A replica on another host is live once web processes reach it, whatever is in the way before."""

from collections.abc import Callable

import pytest

from registry.models import ModelVersion
from serving.cluster.membership.views import read_views
from tests.serving.cluster.running_stack import Hosts, Stack
from tests.serving.cluster.two_hosts.network_namespaces import (
    REPLICA_ADDRESS,
    Link,
    inside,
)
from tests.serving.cluster.wait_until import wait_for

pytestmark = pytest.mark.timeout(600)

PORTS = range(21600, 21700)
SETTINGS = {
    "CLIPPER_ADVERTISE_HOST": REPLICA_ADDRESS,
    "CLIPPER_REPLICA_PORTS": f"{PORTS[0]}-{PORTS[-1]}",
}


@pytest.fixture(scope="module")
def hosts(link: Link) -> Hosts:
    return Hosts(web=inside(link.web), replicas=inside(link.replicas))


@pytest.mark.parametrize(
    ("name", "break_", "mend", "why"),
    [
        ("svm", Link.cut, Link.mend, "network is unreachable"),
        ("tree", Link.drop, Link.deliver, "timeout: "),
    ],
)
def test_it_says_who_cannot_reach_what_and_why_and_goes_live_once_it_is_reached(
    stack: Stack,
    link: Link,
    name: str,
    break_: Callable[[Link], None],
    mend: Callable[[Link], None],
    why: str,
) -> None:
    break_(link)
    version = stack.add_version(name, answer=1)
    release = stack.deploy(version)
    (record,) = stack.wait_for_replicas(version)
    (view,) = wait_for(lambda: read_views(stack.client), what="a web process looks")
    scheme, host, port = record.address.split(":")
    assert (scheme, host) == ("tcp", REPLICA_ADDRESS)
    assert int(port) in PORTS

    def says_why() -> bool:
        release.refresh_from_db()
        assert release.state != "live", release.progress
        return release.progress.startswith(
            f"1 of 1 replicas ready, {view.name} can't reach replica {record.id[:12]} "
            f"at {record.address}: {why}"
        )

    wait_for(says_why, within_s=40, what=why)
    assert not ModelVersion.objects.get(pk=version.pk).is_live
    assert not any(one.has_proven(record.id) for one in read_views(stack.client))

    mend(link)
    stack.wait_for_release(release, state="live")
    assert any(one.has_proven(record.id) for one in read_views(stack.client))
