"""A reconciler's rounds against a real Redis and database, with nobody taking the tasks."""

import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import redis

from registry import services
from registry.models import Model, ModelVersion
from serving.cluster.control.reconciler import Reconciler
from serving.cluster.control.replica_plan import Plan
from serving.cluster.failures.failure_counts import FailureCounts
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaRecord
from serving.cluster.membership.views import VIEW_KEY, VIEWS_KEY, LinkView, WebView
from serving.cluster.membership.workers import WORKER_KEY, WorkerRecord, announce_worker
from tests.serving.cluster.samples import SEAL, a_record

UNREACHED = LinkView(address="tcp:10.0.0.7:20000", reason="connection refused")
BY = services.Actor.of_command("test")


@dataclass
class Rounds:
    """A reconciler whose tasks go nowhere but into these lists."""

    client: redis.Redis
    started: list[tuple[str, str]] = field(default_factory=list)
    checking: list[int] = field(default_factory=list)
    most_checks: int = 2

    def __post_init__(self) -> None:
        self.directory = Directory(self.client, seal=SEAL)
        self.failures = FailureCounts(self.client)
        self._began = time.monotonic()
        self._reconciler = Reconciler(
            self.client,
            directory=self.directory,
            start_replica=self._start,
            begin_check=self.checking.append,
            most_checks=self.most_checks,
        )

    def run(self, *, after_s: float = 0.0) -> Plan:
        return self._reconciler.run(now=self._began + after_s)

    def _start(self, queued: ReplicaRecord) -> None:
        self.started.append((queued.id, queued.queue))

    def announce(self, version: ModelVersion, replica_id: str = "r1", **changes: object) -> None:
        fields: dict[str, Any] = {
            "version_id": version.pk,
            "generation": version.generation,
            "host": "elsewhere",
            "host_id": "h1",
        }
        self.directory.announce(a_record(replica_id, **(fields | changes)))

    def employ(self, host_id: str, *, slots: int = 4, **changes: object) -> None:
        """Have a worker of this host say that it takes replicas for CPUs."""
        fields: dict[str, Any] = {"id": host_id, "host": host_id, "queue": "replicas.cpu"}
        worker = WorkerRecord(**(fields | {"host_id": host_id, "slots": slots} | changes))
        announce_worker(self.client, worker)
        self.client.persist(WORKER_KEY + worker.id)

    def dismiss(self, worker: str) -> None:
        self.client.delete(WORKER_KEY + worker)

    def failed(self, version: ModelVersion) -> int:
        """Return the number of its failures in a row, on all hosts together."""
        return sum(failures.count for failures in self.failures.by_host(version.pk).values())

    def see(self, *replica_ids: str, web: str = "w1", **links: LinkView) -> None:
        """Have a web process say that these replicas have answered it, and what of others."""
        proven = {one: LinkView(address="unix:/r.sock", proven=True) for one in replica_ids}
        view = WebView(id=web, host="app1", pid=812, links=proven | links)
        self.client.set(VIEW_KEY + web, msgspec.json.encode(view), px=60_000)
        self.client.zadd(VIEWS_KEY, {web: 0})

    def records(self) -> dict[str, ReplicaRecord]:
        return {record.id: record for record in self.directory.read()}


def make_version(name: str = "svm", version: str = "1", **fields: object) -> ModelVersion:
    """Register a version; one with `validated_at` has passed its check."""
    model, _ = Model.objects.get_or_create(name=name, input_type="doubles")
    made = ModelVersion.objects.create(
        model=model, version=version, runtime="sklearn", digest="0" * 64, generation=1, **fields
    )
    if made.validated_at is not None:
        services.pass_check(check=services.request_check(made))
    return made
