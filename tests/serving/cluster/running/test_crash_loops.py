"""Crash loops are counted, and a version that fails on one host is served by another: for real."""

from __future__ import annotations

import os
import signal

import pytest

from registry.releases.restarts import read_restarts
from serving.cluster.failures.failure_counts import FailureCounts
from serving.cluster.host import host_id
from serving.cluster.membership.records import ReplicaRecord
from serving.cluster.membership.workers import (
    WORKER_KEY,
    WorkerRecord,
    announce_worker,
)
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


def test_a_version_that_fails_on_another_host_is_sent_to_this_one(stack: Stack) -> None:
    version = stack.add_version("moved", answer=1)
    stack.deploy_and_wait(version)
    (first,) = stack.wait_for_replicas(version)
    other = WorkerRecord(id="o", host="app2", host_id="o", queue="replicas.cpu", slots=9)
    announce_worker(stack.client, other)
    stack.client.persist(WORKER_KEY + other.id)
    FailureCounts(stack.client).note(version.pk, host_id="o", host="app2", reason="no artifact")
    stack.client.persist(f"clipper:backoff:{version.pk}:o")

    os.kill(first.pid, signal.SIGKILL)

    (second,) = stack.wait_for_replicas(version, apart_from=[first])
    assert second.queue == f"replicas.cpu.{host_id()}"
    assert list(FailureCounts(stack.client).by_host(version.pk)) == ["o"]
    stack.client.delete(WORKER_KEY + other.id, f"clipper:backoff:{version.pk}:o")
    stack.retire("moved")
