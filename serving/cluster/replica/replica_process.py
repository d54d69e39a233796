"""The life of one replica inside its Celery task: claim, load, serve, drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop
from django.conf import settings

from core.errors import ClipperError
from core.specs import VersionSpec
from registry.artifacts.fetching import ArtifactFiles
from serving.cluster.failures.endings import note_failure
from serving.cluster.host import host_id
from serving.cluster.host_environments import prepare, rules
from serving.cluster.load_specs import load_spec
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.workers import worker_id
from serving.cluster.parent import Lifeline
from serving.cluster.remote_versions import secret_fields
from serving.cluster.replica.heartbeat import GivenUp, Heartbeat
from serving.cluster.replica.reports import Reports
from serving.cluster.replica.secret_watch import SecretWatch
from serving.cluster.replica.watchdog import Slot, Watched, WatchedPredictor, watch_over
from serving.container.child.child_process import ChildPredictor
from serving.container.child.model_process import ForkServer
from serving.container.failures.container_errors import ArtifactUnreadable
from serving.container.failures.recent_failures import failure_of
from serving.container.runtimes import row_of
from serving.container.sandbox.limits import held_to, process_bytes
from serving.container.server.listener import ChildServer, ContainerServer, TcpListen
from serving.container.spec import LoadSpec
from serving.environments.store import HeldEnvironment
from serving.rpc.frames.hello import Hello
from serving.rpc.tcp.credentials import Credentials, replica_tls
from serving.rpc.text import safe_text

if TYPE_CHECKING:
    from serving.container.predictor import Predictor

# Web processes may take this long to finish with a draining replica. Well below the time that
# supervisord gives the worker to stop.
DRAIN_S = 10.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The version that one replica serves, and when one of its batches counts as hung.

    `sealed` is the version's secret. `fork_server` forks the process of its model.
    """

    record: ReplicaRecord
    version: VersionSpec
    artifacts: ArtifactFiles
    run_dir: Path
    hung_s: float
    sealed: str = ""
    fork_server: ForkServer | None = None

    @property
    def address(self) -> str:
        """A Unix socket, for a host without TCP; its path has to fit into 107 bytes."""
        return f"unix:{self.run_dir / f'r-{self.record.id[:12]}.sock'}"

    def load_spec(self, artifact: Path) -> LoadSpec:
        """Raises Unsealable for its secret."""
        return load_spec(
            self.version,
            artifact=artifact,
            device=self.record.device,
            # A batch of a remote model is given up before its replica counts as hung.
            batch_s=self.hung_s * 0.75,
            **secret_fields(self.version, sealed=self.sealed),
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
    """Turn a queued record into this process's own; None if nobody wants it any more."""
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


def device_name(kind: str, *, slot: int, visible: str | None) -> str:
    """Name the device of a worker's slot: "cpu", or "cuda:i" among the devices it may see."""
    if kind == "cpu":
        return "cpu"
    devices = [name for name in (visible or "").split(",") if name.strip()]
    return f"cuda:{slot % len(devices) if devices else slot}"


@contextmanager
def artifact_at_hand(files: ArtifactFiles, digest: str, *, heartbeat: Heartbeat) -> Iterator[Path]:
    """Yield the artifact's file, which stays as long as the block lasts.

    Raises ArtifactUnreadable where it can't be had, and GivenUp.
    """
    with ExitStack() as held:
        try:
            with heartbeat.preparing() as tell:
                opened = files.opened(digest, tell=lambda fetching: tell(fetching.text))
                artifact = held.enter_context(opened)
        except ClipperError as error:
            raise ArtifactUnreadable(error.message) from error
        yield artifact


class ReplicaProcess:
    """Serves one assignment until it is asked to drain.

    For a process that ends afterwards: its limits on memory and threads stay.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        directory: Directory,
        lifeline: Lifeline,
        slot: Slot,
        reports: Reports,
    ) -> None:
        self._assignment = assignment
        self._version = assignment.version
        self._lifeline = lifeline
        self._slot = slot
        self._reports = reports
        self._heartbeat = Heartbeat(
            assignment.record, directory=directory, is_orphan=lifeline.is_cut
        )

    def run(self) -> None:
        self._heartbeat.start()
        try:
            with self._reports.under_way():
                self._load_and_serve()
        finally:
            self._heartbeat.withdraw()
            self._slot.clear()

    def _load_and_serve(self) -> None:
        record = self._assignment.record
        try:
            artifacts, digest = self._assignment.artifacts, self._version.digest
            with artifact_at_hand(artifacts, digest, heartbeat=self._heartbeat) as artifact:
                predictor = self._load(artifact, environment=self._prepare())
                self._reports.follow(predictor.failures)
                with (
                    self._secret_watch(predictor),
                    asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
                ):
                    runner.run(self._serve(predictor))
                predictor.close()
        except GivenUp:
            logger.info("given up replica=%s arm=%s", record.id, self._version.arm)
        except BaseException as error:  # noqa: BLE001  # a model's code may raise anything
            failure = failure_of(error)
            reason = failure.summary
            logger.warning("failed replica=%s arm=%s: %s", record.id, self._version.arm, reason)
            self._reports.not_loaded(failure)
            note_failure(record, reason=reason)  # first, so that nobody replaces it too soon
            self._heartbeat.become(ReplicaState.FAILED, last_error=safe_text(reason))

    def _prepare(self) -> HeldEnvironment | None:
        """Hold the environment as long as this process lives, so that nobody removes it."""
        self._slot.hold(Watched(record=self._assignment.record))
        with (
            self._heartbeat.preparing() as tell,
            self._slot.working(at_most_s=rules().longest_s),
        ):

            def meanwhile(text: str) -> None:
                if self._lifeline.is_cut():
                    raise GivenUp
                tell(text)

            return prepare(self._version, afresh=False, meanwhile=meanwhile)

    def _load(self, artifact: Path, *, environment: HeldEnvironment | None) -> Predictor:
        spec = self._assignment.load_spec(artifact)
        started = time.perf_counter()
        if row_of(self._version.runtime).self_contained:
            predictor = self._load_here(spec)
        else:
            predictor = self._load_in_child(spec, environment=environment)
        logger.info(
            "loaded replica=%s arm=%s device=%s load_ms=%.1f",
            self._assignment.record.id,
            self._version.arm,
            self._assignment.record.device,
            (time.perf_counter() - started) * 1000,
        )
        return predictor

    def _load_here(self, spec: LoadSpec) -> Predictor:
        """Load an executable or a remote model: no code of the version runs in this process."""
        from serving.container.loading import load_predictor

        version = self._version
        self._watch(base_bytes=process_bytes())
        with (
            self._slot.working(at_most_s=version.load_timeout_s),
            held_to(version.memory_limit_mb, threads=version.threads),
        ):
            predictor = load_predictor(spec)
            predictor.warm_up()
        gc.collect()
        gc.freeze()
        return predictor

    def _load_in_child(self, spec: LoadSpec, *, environment: HeldEnvironment | None) -> Predictor:
        """In this process's memory a model would find the secrets of the stack."""
        base_bytes = process_bytes()
        self._watch(base_bytes=base_bytes)
        with self._slot.working(at_most_s=self._version.load_timeout_s):
            return ChildPredictor(
                spec,
                on_started=lambda pid, held: self._watch(base_bytes=base_bytes + held, child=pid),
                on_broken=self._reports.broken,
                server=self._assignment.fork_server,
                environment=environment.of_model if environment else None,
            )

    def _watch(self, *, base_bytes: int, child: int = 0) -> None:
        self._slot.hold(
            Watched(
                record=self._assignment.record,
                child=child,
                base_bytes=base_bytes,
                memory_limit_mb=self._version.memory_limit_mb,
            )
        )

    def _secret_watch(self, predictor: Predictor) -> AbstractContextManager[object]:
        """Have a remote model take up other secrets of its version while the block lasts."""
        if (take_up := getattr(predictor, "take_up", None)) is None:
            return nullcontext()
        sealed = self._assignment.sealed
        return SecretWatch(version_id=self._version.id, sealed=sealed, take_up=take_up)

    async def _serve(self, predictor: Predictor) -> None:
        self._drain_when_cut()
        server = new_server(self._assignment, predictor=predictor, slot=self._slot)
        await server.start()
        heartbeat, drain = self._heartbeat, self._heartbeat.drain
        heartbeat.report(
            lambda: {
                **msgspec.structs.asdict(server.statistics),
                "memory_bytes": self._slot.taken_bytes,
            }
        )
        if not drain.is_set():
            await asyncio.to_thread(heartbeat.become, ReplicaState.READY, address=server.address)
        self._slot.renew(heartbeat.record)
        await asyncio.to_thread(drain.wait)
        server.drain()
        await asyncio.to_thread(heartbeat.become, ReplicaState.DRAINING)
        if not await server.wait_closed(DRAIN_S):
            replica = self._assignment.record.id
            logger.warning("drain cut short replica=%s after_s=%.0f", replica, DRAIN_S)

    def _drain_when_cut(self) -> None:
        """Hear of the worker's shutdown at once, not with the next heartbeat."""
        loop = asyncio.get_running_loop()

        def cut() -> None:
            loop.remove_reader(self._lifeline.descriptor)
            self._heartbeat.drain.set()

        loop.add_reader(self._lifeline.descriptor, cut)


def new_server(
    assignment: Assignment, *, predictor: Predictor, slot: Slot
) -> ContainerServer | ChildServer:
    """A model in a process of its own answers web processes itself, unless they speak TLS."""
    hello = msgspec.structs.replace(
        assignment.hello, concurrency=getattr(predictor, "concurrency", 1)
    )
    at = replica_listen() or assignment.address
    has_tls = isinstance(at, TcpListen) and at.credentials.tls is not None
    if isinstance(predictor, ChildPredictor) and not has_tls:
        watch_over(predictor, slot=slot, at_most_s=assignment.hung_s)
        return ChildServer(predictor, hello=hello, at=at)
    watched = WatchedPredictor(predictor, slot=slot, at_most_s=assignment.hung_s)
    return ContainerServer(watched, hello=hello, at=at)


def replica_listen() -> TcpListen | None:
    """Return None for Unix sockets, which other hosts can't reach."""
    if not settings.CLIPPER_ADVERTISE_HOST:
        return None
    certificate, key = settings.CLIPPER_TLS_CERT, settings.CLIPPER_TLS_KEY
    return TcpListen(
        advertise_host=settings.CLIPPER_ADVERTISE_HOST,
        bind_host=settings.CLIPPER_BIND_HOST,
        ports=settings.CLIPPER_REPLICA_PORTS,
        credentials=Credentials(
            secret=settings.CLIPPER_CLUSTER_SECRET.encode(),
            tls=replica_tls(certificate=Path(certificate), key=Path(key)) if certificate else None,
        ),
    )
