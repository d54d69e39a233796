"""The life of one replica inside its Celery task: claim, load, serve, drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from core.specs import VersionSpec
from registry.artifacts.files import ArtifactFiles
from serving.cluster.host import host_id
from serving.cluster.loading import load_spec
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.workers import worker_id
from serving.cluster.parent import Lifeline
from serving.cluster.replica.drain_request import DrainRequest
from serving.cluster.replica.heartbeat import Heartbeat
from serving.cluster.replica.preparation import GivenUp, Preparation, artifact_at_hand
from serving.cluster.replica.replica_address import replica_listen
from serving.cluster.replica.reports import Reports
from serving.cluster.replica.watchdog import Slot, Watched, WatchedPredictor, watch_over
from serving.container.child.child_process import ChildPredictor
from serving.container.child.model_process import ForkServer
from serving.container.failures.recent_failures import failure_of
from serving.container.runtimes import self_contained
from serving.container.sandbox.limits import MemoryLimit, held_to, private_bytes
from serving.container.server.listener import ChildServer, ContainerServer
from serving.container.spec import SEARCH_S, LoadSpec
from serving.environments.store import HeldEnvironment
from serving.rpc.frames.hello import Hello
from serving.rpc.text import safe_text

if TYPE_CHECKING:
    from serving.container.predictor import Predictor

# How long web processes may take to finish with a draining replica. Well below the time that
# supervisord gives the worker to stop.
DRAIN_S = 10.0
# A remote model's batch is given up by itself before its replica is ended for it.
WITHIN_HUNG = 0.75

logger = logging.getLogger(__name__)

# Takes whom to tell how far it is; returns the environment that the version runs in, if it has one.
Prepare = Callable[[Callable[[str], object]], HeldEnvironment | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one replica is to serve and from where, and when one of its batches counts as hung.

    `secret_fields` returns fields of its LoadSpec that its version's spec doesn't have. `prepare`
    makes the environment that its version runs in, within `prepare_s`. `follow` has the model that
    was loaded go along with what changes about its version, as long as it is entered.
    `fork_server` forks the process of its model.
    """

    record: ReplicaRecord
    version: VersionSpec
    artifacts: ArtifactFiles
    run_dir: Path
    hung_s: float
    secret_fields: Callable[[], Mapping[str, Any]] = dict
    prepare: Prepare = lambda meanwhile: None
    prepare_s: float = 60.0
    follow: Callable[[Predictor], AbstractContextManager[object]] = nullcontext
    fork_server: ForkServer | None = None

    @property
    def address(self) -> str:
        """A Unix socket, where TCP isn't set up; its path has to fit into 107 bytes."""
        return f"unix:{self.run_dir / f'r-{self.record.id[:12]}.sock'}"

    @property
    def search_s(self) -> float:
        """For how long to look for the inputs that break the model: well before it is hung."""
        return min(SEARCH_S, self.hung_s / 4)

    def load_spec(self, artifact: Path) -> LoadSpec:
        """Raises Unsealable for its secret."""
        return load_spec(
            self.version,
            artifact=artifact,
            device=self.record.device,
            search_s=self.search_s,
            batch_s=self.hung_s * WITHIN_HUNG,
            **self.secret_fields(),
            # Its check has asked. One that serves goes on where a later release is installed.
            allow_stale_libraries=True,
        )

    @property
    def hello(self) -> Hello:
        return Hello(
            replica=self.record.id,
            model=self.version.model,
            version=self.version.version,
            version_id=self.version.id,
            generation=self.version.generation,
            input_type=self.version.input_type,
        )


def claim(queued: ReplicaRecord, *, directory: Directory, device: str) -> ReplicaRecord | None:
    """Turn a queued record into this process's own; None where nobody wants it any more."""
    now = time.time()
    record = msgspec.structs.replace(
        queued,
        state=ReplicaState.LOADING,
        host=socket.gethostname(),
        host_id=host_id(),
        pid=os.getpid(),
        worker=worker_id(os.getppid()),
        device=device,
        started_at=now,
        heartbeat_at=now,
    )
    return record if directory.claim(record) else None


def run(
    assignment: Assignment,
    *,
    directory: Directory,
    on_failure: Callable[[str], None],
    lifeline: Lifeline,
    slot: Slot,
    reports: Reports,
) -> None:
    """Serve until asked to drain; `on_failure` gets the reason where the model can't be served.

    For a process that serves one model and then ends: its limits on memory and threads stay.
    """
    drain = DrainRequest()
    heartbeat = Heartbeat(
        assignment.record,
        directory=directory,
        on_drain=drain.set,
        is_orphan=lifeline.is_cut,
    )
    heartbeat.start()
    try:
        with reports.under_way():
            _load_and_serve(
                assignment,
                heartbeat=heartbeat,
                drain=drain,
                lifeline=lifeline,
                slot=slot,
                reports=reports,
                on_failure=on_failure,
            )
    finally:
        heartbeat.withdraw()
        slot.clear()


def _load_and_serve(
    assignment: Assignment,
    *,
    heartbeat: Heartbeat,
    drain: DrainRequest,
    lifeline: Lifeline,
    slot: Slot,
    reports: Reports,
    on_failure: Callable[[str], None],
) -> None:
    try:
        with artifact_at_hand(
            assignment.artifacts, assignment.version.digest, heartbeat=heartbeat, drain=drain
        ) as artifact:
            environment = _prepare(
                assignment, heartbeat=heartbeat, drain=drain, lifeline=lifeline, slot=slot
            )
            predictor = _load(
                assignment, artifact=artifact, slot=slot, environment=environment, reports=reports
            )
            reports.follow(predictor.failures)
            with (
                assignment.follow(predictor),
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                runner.run(
                    _serve(
                        assignment,
                        predictor=predictor,
                        heartbeat=heartbeat,
                        drain=drain,
                        lifeline=lifeline,
                        slot=slot,
                    )
                )
            predictor.close()
    except GivenUp:
        logger.info("given up replica=%s arm=%s", assignment.record.id, assignment.version.arm)
    except BaseException as error:  # noqa: BLE001  # a model's code may raise anything
        failure = failure_of(error)
        logger.warning(
            "replica failed replica=%s arm=%s: %s",
            assignment.record.id,
            assignment.version.arm,
            failure.summary,
        )
        reports.not_loaded(failure)
        on_failure(failure.summary)  # first, so that nobody replaces a failed replica too soon
        heartbeat.become(ReplicaState.FAILED, last_error=safe_text(failure.summary))


def device_name(kind: str, *, slot: int, visible: str | None) -> str:
    """Name the device of a worker's slot: "cpu", or "cuda:i" among the devices it may see.

    `visible` is CUDA_VISIBLE_DEVICES; CUDA counts from 0 within it.
    """
    if kind == "cpu":
        return "cpu"
    devices = [name for name in (visible or "").split(",") if name.strip()]
    return f"cuda:{slot % len(devices) if devices else slot}"


def _prepare(
    assignment: Assignment,
    *,
    heartbeat: Heartbeat,
    drain: DrainRequest,
    lifeline: Lifeline,
    slot: Slot,
) -> HeldEnvironment | None:
    """Hold the environment as long as this process lives, so that nobody removes it."""
    preparation = Preparation(heartbeat, drain=drain)

    def tell(text: str) -> None:
        if lifeline.is_cut():
            raise GivenUp
        preparation.tell(text)

    slot.hold(Watched(record=assignment.record))
    try:
        with slot.working(at_most_s=assignment.prepare_s):
            return assignment.prepare(tell)
    finally:
        preparation.end()


def _load(
    assignment: Assignment,
    *,
    artifact: Path,
    slot: Slot,
    environment: HeldEnvironment | None,
    reports: Reports,
) -> Predictor:
    version, spec = assignment.version, assignment.load_spec(artifact)
    started = time.perf_counter()
    if version.runtime in self_contained():
        predictor = _load_here(assignment, spec=spec, slot=slot)
    else:
        predictor = _load_in_child(
            assignment, spec=spec, slot=slot, environment=environment, reports=reports
        )
    logger.info(
        "loaded replica=%s arm=%s device=%s load_ms=%.1f",
        assignment.record.id,
        version.arm,
        assignment.record.device,
        (time.perf_counter() - started) * 1000,
    )
    return predictor


def _load_here(assignment: Assignment, *, spec: LoadSpec, slot: Slot) -> Predictor:
    """Load an executable or a remote model: no code of the version runs in this process."""
    from serving.container.loading import load_predictor

    version = assignment.version
    limit = MemoryLimit(version.memory_limit_mb, threads=version.threads)
    slot.hold(
        Watched(
            record=assignment.record,
            base_bytes=limit.base_bytes,
            memory_limit_mb=limit.limit_mb,
        )
    )
    with slot.working(at_most_s=version.load_timeout_s), held_to(limit, threads=version.threads):
        predictor = load_predictor(spec)
        predictor.warm_up()
    gc.collect()
    gc.freeze()
    return predictor


def _load_in_child(
    assignment: Assignment,
    *,
    spec: LoadSpec,
    slot: Slot,
    environment: HeldEnvironment | None,
    reports: Reports,
) -> Predictor:
    """In this process's memory a model would find the secrets of the stack."""
    version = assignment.version
    base_bytes = private_bytes()

    def watch(pid: int = 0, held: int = 0) -> None:
        slot.hold(
            Watched(
                record=assignment.record,
                child=pid,
                base_bytes=base_bytes + held,
                memory_limit_mb=version.memory_limit_mb,
            )
        )

    watch()
    with slot.working(at_most_s=version.load_timeout_s):
        return ChildPredictor(
            spec,
            on_started=watch,
            on_broken=reports.broken,
            server=assignment.fork_server,
            environment=environment.of_model if environment else None,
        )


async def _serve(
    assignment: Assignment,
    *,
    predictor: Predictor,
    heartbeat: Heartbeat,
    drain: DrainRequest,
    lifeline: Lifeline,
    slot: Slot,
) -> None:
    _drain_when_cut(lifeline, drain=drain)
    server = new_server(assignment, predictor=predictor, slot=slot)
    await server.start()
    heartbeat.report(lambda: msgspec.structs.asdict(server.statistics))
    if not drain.is_set:
        await asyncio.to_thread(heartbeat.become, ReplicaState.READY, address=server.address)
    slot.renew(heartbeat.record)
    await drain.wait()
    server.drain()
    await asyncio.to_thread(heartbeat.become, ReplicaState.DRAINING)
    if not await server.wait_closed(DRAIN_S):
        logger.warning("drain cut short replica=%s after_s=%.0f", assignment.record.id, DRAIN_S)


def new_server(
    assignment: Assignment, *, predictor: Predictor, slot: Slot
) -> ContainerServer | ChildServer:
    """A model in a process of its own answers web processes itself, unless they speak TLS."""
    hello = msgspec.structs.replace(
        assignment.hello, concurrency=getattr(predictor, "concurrency", 1)
    )
    reached: dict[str, Any] = {"hello": hello, "address": assignment.address}
    listen = reached["listen"] = replica_listen()
    if isinstance(predictor, ChildPredictor) and not (listen and listen.credentials.tls):
        watch_over(predictor, slot=slot, at_most_s=assignment.hung_s)
        return ChildServer(predictor, **reached)
    watched = WatchedPredictor(predictor, slot=slot, at_most_s=assignment.hung_s)
    return ContainerServer(watched, **reached)


def _drain_when_cut(lifeline: Lifeline, *, drain: DrainRequest) -> None:
    """Hear of the worker's shutdown at once, not with the next heartbeat."""
    loop = asyncio.get_running_loop()

    def cut() -> None:
        loop.remove_reader(lifeline.descriptor)
        drain.set()

    loop.add_reader(lifeline.descriptor, cut)
