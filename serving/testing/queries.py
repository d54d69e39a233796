"""Queries without HTTP, Redis or containers: an application whose replicas the test plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from redis.asyncio import Redis

from core.loop.loop_slices import Turns
from core.redis.key_uses import KeyUses
from core.specs import ApplicationSpec, Snapshot
from selection.feedback.default_rewards.due_receipts import DueReceipts
from selection.receipts import ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.capture.sampling import CapturedQueries
from serving.engine.engine import Engine, EngineSpec
from serving.metrics.published import Metrics
from serving.query.processor import QueryProcessor
from serving.query.query import Query, QueryResources
from serving.query.rollouts.gate_counts import GateCounts
from serving.query.rollouts.shadows import Shadows
from serving.query.routing import Router
from serving.testing.specs import snapshot_of

if TYPE_CHECKING:
    from serving.web.runtime import Runtime

T = TypeVar("T")


class PlayedSpec(NamedTuple):
    max_body_bytes: int


class PlayedServing:
    """A query processor over an engine, with an application of models `m1`, `m2` and `m3`.

    Connect replicas of their versions 1, 2 and 3 to `engine` (`serving.testing.connect`), `begin` a
    query, and have the replicas answer. What would be read from Redis is as nobody had learned yet.
    A slice of the event loop has no end, unless it is given one: how much of a large batch gets
    into one would depend on the machine.
    """

    def __init__(
        self, application: ApplicationSpec, *, queue_capacity: int = 2, slice_s: float = inf
    ) -> None:
        self.application = application
        self.engine = Engine(EngineSpec(queue_capacity=queue_capacity))
        self.router = Router(connected=self.engine.connected)
        self.signer = ReceiptSigner(b"secret")
        self.metrics = Metrics(process_id="test", pid=1)
        self.key_uses = KeyUses()
        redis = Redis(unix_socket_path="/nonexistent")  # nobody starts what would ask it
        gates = GateCounts(redis)
        self.processor = QueryProcessor(
            QueryResources(
                engine=self.engine,
                router=self.router,
                store=SelectionStore(redis),
                outputs=OutputStore(redis),
                due=DueReceipts(redis),
                signer=self.signer,
                metrics=self.metrics,
                captured=CapturedQueries(redis),
                gates=gates,
                shadows=Shadows(engine=self.engine, outputs=OutputStore(redis), gates=gates),
            )
        )
        self.processor.resources.turns = Turns(slice_s=slice_s)
        self.spec = PlayedSpec(max_body_bytes=1 << 20)
        self.route()

    def route(self, *others: ApplicationSpec) -> None:
        """Let the registry hold these applications, beside the one that is there."""
        self.apply(snapshot_of(self.application, *others))

    def apply(self, snapshot: Snapshot) -> None:
        """Let the registry be so."""
        self.router.apply(snapshot)
        self.engine.expect(self.router.expected_versions())

    def change_registry(self, **changes: Any) -> None:
        """Let these fields of the registry's Snapshot be so from now on."""
        self.apply(replace(self.snapshot, **changes))

    def begin(
        self, *, input: bytes = b"[1]", arrived: float | None = None, **options: Any
    ) -> Query:
        """Begin a query to the application; `options` are the others of QueryProcessor.begin."""
        return self.processor.begin(
            self.application,
            input=input,
            arrived=monotonic() if arrived is None else arrived,
            **options,
        )

    # What the API asks of a web process's runtime.

    @property
    def snapshot(self) -> Snapshot:
        return self.router.snapshot

    async def found(self, look: Callable[[Snapshot], T]) -> T:
        """Return what `look` finds: there is no registry to be behind of."""
        return look(self.snapshot)

    @property
    def runtime(self) -> Runtime:
        """As the runtime that endpoints and consumers are made with; it only answers queries."""
        return cast("Runtime", self)
