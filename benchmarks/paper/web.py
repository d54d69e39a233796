"""A web process's runtime in this process, connected to real containers: no HTTP, no Redis.

Queries take the whole path, from the choice of the arms to the signed receipt. What needs Redis
does nothing meanwhile, as in an outage: no feedback comes, so the arms weigh the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from benchmarks.paper.collector import calm_collector
from benchmarks.paper.frontend import CONNECT_SECONDS, QUEUE_CAPACITY, SWEEP_SECONDS
from registry.specs import ApplicationSpec, ModelSpec, RouteSpec, Snapshot, VersionSpec
from serving.cluster.membership.records import ReplicaRecord
from serving.engine.engine import EngineSpec
from serving.rpc.buffers import keep_freed_memory
from serving.rpc.credentials import Credentials
from serving.web.runtime import Runtime, RuntimeSpec


class WatchedRuntime(Runtime):
    """The runtime as it is, which tells when a replica has come or gone."""

    def __init__(self, spec: RuntimeSpec) -> None:
        super().__init__(spec)
        self.changed = asyncio.Event()

    def _replica_came_or_went(self) -> None:
        super()._replica_came_or_went()
        self.changed.set()


@asynccontextmanager
async def web_process(
    snapshot: Snapshot, *, containers: Sequence[ReplicaRecord]
) -> AsyncIterator[Runtime]:
    """A runtime that knows `snapshot`, and is linked to a container at least of each version.

    `containers` are as a directory would list them. Batches are made for the shortest objective of
    those applications that ask a version.
    """
    keep_freed_memory()
    runtime = WatchedRuntime(_spec(snapshot))
    runtime.router.apply(snapshot)
    runtime.links.sync(containers)
    sweeping = asyncio.create_task(_sweep(runtime))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while not all(map(runtime.engine.connected, snapshot.versions)):
                runtime.changed.clear()
                await runtime.changed.wait()
        with calm_collector():
            yield runtime
    finally:
        sweeping.cancel()
        await runtime.links.close()
        runtime.engine.close()
        await runtime.redis.aclose()


def _spec(snapshot: Snapshot) -> RuntimeSpec:
    return RuntimeSpec(
        redis_url="unix:///nonexistent",
        registry_channel="none",
        receipt_secret=b"of nobody",
        # Unix sockets belong to one user: nobody asks for a secret.
        credentials=Credentials(secret=b""),
        engine=EngineSpec(queue_capacity=QUEUE_CAPACITY),
        max_body_bytes=1 << 20,
        read_snapshot=lambda: snapshot,
        check_database=lambda: None,
    )


async def _sweep(runtime: Runtime) -> None:
    """What a web process does beside the queries."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        runtime.engine.sweep()


def snapshot_of(
    versions: Iterable[VersionSpec], *, applications: Iterable[ApplicationSpec]
) -> Snapshot:
    """A registry that holds these, each version being its model's live one."""
    versions = tuple(versions)
    return Snapshot(
        applications={application.name: application for application in applications},
        models={
            version.model_id: ModelSpec(
                id=version.model_id,
                name=version.model,
                input_type=version.input_type,
                live_version_id=version.id,
            )
            for version in versions
        },
        versions={version.id: version for version in versions},
        versions_by_arm={version.arm: version for version in versions},
    )


def application_of(
    name: str, *, id: int, versions: Iterable[VersionSpec], slo_ms: float, default_output: bytes
) -> ApplicationSpec:
    """An application that asks all of these models, without the cache, and has them vote."""
    return ApplicationSpec(
        id=id,
        name=name,
        input_type="doubles",
        slo_ms=slo_ms,
        slo_target=0.99,
        default_output=default_output,
        policy="exp4",
        policy_params={},
        combine="vote",
        confidence_threshold=0.0,
        public=True,
        feedback_window_s=3600,
        routes=tuple(
            RouteSpec(
                model_id=version.model_id, model=version.model, role="arm", weight=1.0,
                pinned_version_id=None,
            )
            for version in versions
        ),
        cache=False,
    )  # fmt: skip
