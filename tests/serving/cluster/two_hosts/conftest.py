"""Two hosts that a cable links, with all of a stack but its away worker on the first."""

from collections.abc import Iterator

import pytest

from tests.serving.cluster.running_stack import Hosts
from tests.serving.cluster.two_hosts.apart import HERE
from tests.serving.cluster.two_hosts.network_namespaces import Link, inside, linked_namespaces


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with linked_namespaces() as link:
        yield link


@pytest.fixture(scope="module")
def hosts(link: Link) -> Hosts | None:
    return Hosts(web=(), replicas=inside(link.web, host=HERE))
