"""A large artifact takes no more memory than a small one, wherever it passes.

LARGE_ARTIFACT_BYTES in the environment makes it larger than these tests need.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.serving.cluster.running_stack import Hosts, Stack
from tests.serving.cluster.two_hosts import apart
from tests.serving.cluster.two_hosts.apart import HERE
from tests.serving.cluster.two_hosts.large import MB, Passage
from tests.serving.cluster.two_hosts.network_namespaces import Link, inside, linked_namespaces

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SETTINGS = apart.SETTINGS
WORKERS = ("control",)
LARGE = int(os.environ.get("LARGE_ARTIFACT_BYTES", 256 * MB))
SMALL = 33 * MB
# What none of it may take: a fraction of the artifact.
MOST_MB = 64


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with linked_namespaces() as link:
        yield link


@pytest.fixture(scope="module")
def hosts(link: Link) -> Hosts:
    return Hosts(web=(), replicas=inside(link.web, host=HERE))


@pytest.fixture(scope="module")
def passage(stack: Stack, link: Link, tmp_path_factory: pytest.TempPathFactory) -> Passage:
    apart.start_away(stack, link)
    apart.start_web(stack)
    return Passage.to(stack, link, folder=tmp_path_factory.mktemp("large"))


def test_memory_stays_flat_from_the_client_to_the_replica_on_another_host(
    passage: Passage,
) -> None:
    small = passage.deployed("small", passage.file(SMALL))
    path = passage.file(LARGE)
    large = passage.deployed("large", path)
    form = passage.sent_by_curl("large", path, version="curl")
    print(f"{LARGE / MB:.0f} MB: {large.above(small)} MB more, live after {large.seconds:.0f} s")
    print(f"by a form: {form.above(small)} MB more, there after {form.seconds:.0f} s")
    assert max(large.above(small).values()) < MOST_MB
    assert max(form.above(small).values()) < MOST_MB
