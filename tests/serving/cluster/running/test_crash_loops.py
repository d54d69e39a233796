"""Crash loops are counted, and a version that fails on one host is served by another: for real."""

import os
import signal

import pytest

from registry.releases.restarts import read_restarts
from serving.cluster.membership.records import ReplicaRecord
from tests.serving.cluster.running_stack import Stack
from tests.serving.cluster.wait_until import wait_for

pytestmark = pytest.mark.timeout(600)

KILLS = 3


def test_replicas_that_are_killed_again_and_again_are_counted_with_their_reasons(
    stack: Stack,
) -> None:
    version = stack.add_version("killed", answer=1)
    stack.deploy_and_wait(version)
    seen: list[ReplicaRecord] = []
    for _ in range(KILLS):
        (record,) = stack.wait_for_replicas(version, apart_from=seen)
        seen.append(record)
        os.kill(record.pid, signal.SIGKILL)
    stack.wait_for_replicas(version, apart_from=seen)

    def counted() -> bool:
        found = read_restarts(stack.client, [version.pk])
        return version.pk in found and found[version.pk].total == KILLS

    wait_for(counted, what="all are counted")
    restarts = read_restarts(stack.client, [version.pk])[version.pk]
    assert list(restarts.by_host) == [seen[0].host]
    assert {ending.reason.split(" with ")[0] for ending in restarts.last} == {"its process ended"}
    stack.retire("killed")
