"""Runtime of a web process: all that a query needs, kept up to date."""

import asyncio
import logging
import os
import secrets
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, TypeVar

from core import compiled
from core.errors import NotFound, UnknownKey
from core.loop.background_tasks import end_tasks
from core.loop.loop_slices import Turns
from core.memory import resident_bytes
from core.redis.async_redis import bounded_redis
from core.redis.key_uses import KeyUses
from core.specs import Snapshot
from selection.feedback.default_rewards.due_receipts import DueReceipts
from selection.feedback.default_rewards.settler import Settler
from selection.feedback.intake.service import FeedbackService
from selection.receipts import FormerSecret, ReceiptSigner
from selection.store.large_outputs import BUDGET_BYTES, OutputStore
from selection.store.redis_keys import REDIS_ERRORS
from selection.store.selection_store import COPIES, SelectionStore
from serving.capture.sampling import CapturedQueries
from serving.cluster.host import host_id
from serving.cluster.membership.directory import REPLICAS_CHANNEL, read_directory
from serving.cluster.membership.records import ReplicaRecord
from serving.cluster.membership.seals import Refusals, Seal
from serving.cluster.membership.views import WebView, publish_view, withdraw_view
from serving.engine.engine import Engine, EngineSpec
from serving.metrics.event_loop import LoopWatch
from serving.metrics.published import Metrics, Reading, publish
from serving.metrics.redis_memory import MemoryWatch
from serving.query.processor import QueryProcessor
from serving.query.query import QueryResources
from serving.query.rollouts.gate_counts import GateCounts
from serving.query.rollouts.shadows import Shadows
from serving.query.routing import Router
from serving.rpc.address import AnyAddress
from serving.rpc.tcp.credentials import Credentials
from serving.web.links import ReplicaLinks
from serving.web.registry_follower import RegistryFollower, RegistrySource
from serving.web.served_registry import ServedRegistry
from serving.web.upkeep import keep, listen

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeSpec:
    """Settings of a web process; `registry` and `check_database` block."""

    redis_url: str
    registry_channel: str
    redis_replicas: int = 0
    receipt_secret: bytes
    former_receipt_secret: FormerSecret | None = None
    credentials: Credentials
    engine: EngineSpec
    max_body_bytes: int
    outputs_bytes: int = BUDGET_BYTES
    contexts_at_hand: int = COPIES
    # Where the console takes requests.
    console: AnyAddress | None = None
    registry: RegistrySource
    check_database: Callable[[], None]


class Runtime:
    """Owns the engine, the router, the stores and the tasks that keep them up to date."""

    def __init__(self, spec: RuntimeSpec) -> None:
        self.spec = spec
        self.redis = bounded_redis(spec.redis_url)
        self.engine = Engine(spec.engine)
        self.router = Router(connected=self.engine.connected)
        self.metrics = Metrics(process_id=f"{os.getpid()}-{secrets.token_hex(3)}", pid=os.getpid())
        self.key_uses = KeyUses()
        self.loop_watch = LoopWatch()
        self._since = time()
        self.store = SelectionStore(self.redis, copies=spec.contexts_at_hand)
        self.redis_memory = MemoryWatch(self.redis)
        self.outputs = OutputStore(self.redis, budget_bytes=spec.outputs_bytes)
        self.due = DueReceipts(self.redis)
        signer = ReceiptSigner(spec.receipt_secret, former=spec.former_receipt_secret)
        turns = Turns()
        self.captured = CapturedQueries(
            self.redis, turns=turns, note_dropped=self._note_capture_dropped
        )
        self.gates = GateCounts(self.redis)
        self.processor = QueryProcessor(
            QueryResources(
                engine=self.engine,
                router=self.router,
                store=self.store,
                outputs=self.outputs,
                due=self.due,
                signer=signer,
                metrics=self.metrics,
                captured=self.captured,
                gates=self.gates,
                shadows=Shadows(engine=self.engine, outputs=self.outputs, gates=self.gates),
                turns=turns,
            )
        )
        self.feedback = FeedbackService(
            self.redis,
            signer=signer,
            store=self.store,
            outputs=self.outputs,
            replicas=spec.redis_replicas,
            note_expired=lambda application: self.metrics.of_application(application.name).count(
                "labels_too_late"
            ),
            note_draw=self.gates.note_label,
            turns=turns,
        )
        self.settler = Settler(
            self.due,
            service=self.feedback,
            signer=signer,
            applications=lambda: self.snapshot.applications.values(),
            arms=lambda application: self.router.arms(application).weights,
        )
        self.links = ReplicaLinks(
            self.engine, credentials=spec.credentials, on_change=self._replica_came_or_went
        )
        self.records: list[ReplicaRecord] = []
        self._seal = Seal(spec.credentials.secret)
        self._refusals = Refusals()
        self.served = ServedRegistry(router=self.router, engine=self.engine, metrics=self.metrics)
        self.registry = RegistryFollower(
            self.redis,
            process_id=self.metrics.process_id,
            source=spec.registry,
            following=self.served,
            in_thread=self.in_thread,
            watch=self.loop_watch,
        )
        self._directory_changed = asyncio.Event()
        self._view_changed = asyncio.Event()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot")
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def snapshot(self) -> Snapshot:
        return self.router.snapshot

    async def start(self) -> None:
        await self.store.start()
        await self.outputs.writer.start()
        await self.due.writer.start()
        await self.registry.start()
        await self.settler.start()
        self._tasks = [
            asyncio.create_task(task, name=name)
            for name, task in (
                (
                    "runtime.notices",
                    listen(
                        self.redis,
                        self.spec.registry_channel,
                        REPLICAS_CHANNEL,
                        hear=self._on_notice,
                        catch_up=self._catch_up,
                    ),
                ),
                ("runtime.registry", self.registry.run()),
                (
                    "runtime.directory",
                    keep(self.refresh_directory, changed=self._directory_changed),
                ),
                (
                    "runtime.view",
                    keep(self._publish_view, changed=self._view_changed),
                ),
                ("runtime.metrics", keep(self._publish_metrics, changed=asyncio.Event())),
                ("runtime.capture", keep(self.captured.flush, changed=asyncio.Event())),
                ("runtime.gates", keep(self.gates.flush, changed=self.gates.urgent)),
                ("runtime.lag", self.loop_watch.run()),
            )
        ]

    async def stop(self) -> None:
        await end_tasks(self._tasks)
        with suppress(*REDIS_ERRORS):
            await self.captured.flush()
            await self.gates.flush()
            await self._publish_metrics(left=True)  # what was counted in the last second
        with suppress(*REDIS_ERRORS):  # it expires by itself
            await withdraw_view(self.redis, self.metrics.process_id)
            await self.registry.leave()
        await self.links.close()
        self.engine.close()
        await self.settler.stop()
        await self.due.writer.stop()
        await self.outputs.writer.stop()
        await self.store.stop()
        await self.redis.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[[], Any], *, seconds: float = 10.0) -> Any:
        """Run blocking database work beside the loop, for at most `seconds`."""
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def found(self, look: Callable[[Snapshot], T]) -> T:
        """Return what `look` finds, if need be on a second look that is up to date."""
        try:
            return look(self.snapshot)
        except NotFound:
            await self.registry.catch_up()
        except UnknownKey:
            await self._await_notice()
        return look(self.snapshot)

    async def _await_notice(self) -> None:
        """Wait a moment for the next look: strangers without a key must not cause one."""
        # So long a notice of a new key, and the look that it leads to, may take.
        await asyncio.wait([self.registry.next_look], timeout=0.3)

    # --- keeping up ---------------------------------------------------------------------------

    def _catch_up(self) -> None:
        self.registry.hear()
        self._directory_changed.set()

    def _on_notice(self, channel: str) -> None:
        if channel == self.spec.registry_channel:
            self.registry.hear()
        else:
            self._directory_changed.set()

    async def _publish_view(self) -> None:
        """Publish which replicas have answered this process: releases wait for it."""
        view = WebView(
            id=self.metrics.process_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            links=self.links.views(),
        )
        await publish_view(self.redis, view)
        await self.registry.publish()

    async def refresh_directory(self) -> None:
        self.engine.sweep()
        listing = await read_directory(self.redis, seal=self._seal)
        self._refusals.note(listing.refused)
        self.records = listing.records
        self.links.sync(self.records)
        self.served.expect(self.records)

    def unreachable(self) -> Mapping[int, list[str]]:
        """Return by version why this process has no link to ready replicas."""
        views = self.links.views()
        reasons: defaultdict[int, list[str]] = defaultdict(list)
        for record in self.records:
            view = views.get(record.id)
            if view is not None and view.reason:
                reasons[record.version_id].append(f"{record.address}: {view.reason}")
        return reasons

    def _replica_came_or_went(self) -> None:
        self._view_changed.set()
        self.served.replica_came_or_went()

    def _note_capture_dropped(self, application_id: int) -> None:
        for application in self.snapshot.applications.values():
            if application.id == application_id:
                self.metrics.of_application(application.name).count("captures_dropped")

    async def _publish_metrics(self, *, left: bool = False) -> None:
        memory = await self.redis_memory.look()
        self.outputs.paused = self.due.paused = self.feedback.paused = memory.is_short
        self.captured.paused = self.gates.paused = memory.is_short
        versions, unreachable = self.snapshot.versions, self.unreachable()
        document = self.metrics.document(
            at=time(),
            now=monotonic(),
            rss_bytes=resident_bytes(),
            versions={
                versions[version_id].arm: Reading(
                    stats,
                    waiting=self.engine.waiting(version_id),
                    in_flight=self.engine.in_flight(version_id),
                    unreachable=len(unreachable.get(version_id, ())),
                )
                for version_id, stats in self.engine.stats.items()
                if version_id in versions
                and (version_id in unreachable or self.engine.is_counted(version_id))
            },
        )
        document["redis"] = {
            **self.redis_memory.memory._asdict(),
            "outputs_bytes": self.outputs.kept_bytes,
            "outputs_evicted": self.outputs.evicted,
            "outputs_dropped": self.outputs.dropped,
            "due_dropped": self.due.dropped,
        }
        document["since"], document["host"] = self._since, socket.gethostname()
        document["host_id"] = host_id()
        document["compiled"], document["uncompiled"] = compiled.in_use(), compiled.unused()
        document["directory"] = {"refused": self._refusals.count}
        faults = self.registry.faults
        document["registry"] = {"left_out": len(faults), "problem": self.registry.describe_faults()}
        document["loop"] = self.loop_watch.published()
        traffic = self.metrics.traffic(left=left)
        await publish(self.redis, document, traffic=traffic)
        self.metrics.note_published(traffic)
        await self.key_uses.keep(self.redis, at=time())
