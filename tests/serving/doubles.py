"""Queries without HTTP, Redis or containers: an application whose replicas the test plays."""

from __future__ import annotations

from time import monotonic
from typing import Any

from redis.asyncio import Redis

from registry.specs import ApplicationSpec, ModelSpec, RouteSpec, Snapshot, VersionSpec
from selection.feedback.default_rewards.due import DueReceipts
from selection.receipts import ReceiptSigner
from selection.store.outputs import OutputStore
from selection.store.state import SelectionStore
from serving.engine.engine import Engine, EngineSpec
from serving.metrics.published import Metrics
from serving.query.processor import QueryProcessor
from serving.query.query import Query
from serving.query.routing import Router


def version(id: int) -> VersionSpec:
    return VersionSpec(
        id=id,
        model_id=id,
        model=f"m{id}",
        version="1",
        runtime="sklearn",
        input_type="doubles",
        digest="0" * 64,
        device="cpu",
        replicas=1,
        allow_pickle=False,
        generation=1,
    )


def application(**changes: Any) -> ApplicationSpec:
    fields: dict[str, Any] = {
        "id": 7,
        "name": "digits",
        "input_type": "doubles",
        "slo_ms": 1000.0,
        "slo_target": 0.99,
        "default_output": b"-1",
        "policy": "exp4",
        "policy_params": {},
        "combine": "vote",
        "confidence_threshold": 0.0,
        "public": False,
        "feedback_window_s": 3600,
        "routes": tuple(
            RouteSpec(model_id=n, model=f"m{n}", role="arm", weight=1.0, pinned_version_id=None)
            for n in (1, 2, 3)
        ),
    }
    return ApplicationSpec(**(fields | changes))


class Serving:
    """A query processor over an engine whose replicas the test plays."""

    def __init__(self, spec: ApplicationSpec, *, queue_capacity: int = 2) -> None:
        self.application = spec
        self.engine = Engine(EngineSpec(queue_capacity=queue_capacity))
        self.router = Router(connected=self.engine.connected)
        self.signer = ReceiptSigner(b"secret")
        redis = Redis(unix_socket_path="/nonexistent")
        self.metrics = Metrics(process_id="test", pid=1)
        self.processor = QueryProcessor(
            engine=self.engine,
            router=self.router,
            store=SelectionStore(redis),
            outputs=OutputStore(redis),
            due=DueReceipts(redis),
            signer=self.signer,
            metrics=self.metrics,
        )
        self.route()

    def route(self, *specs: ApplicationSpec) -> None:
        """Let the registry hold these applications, beside the one that is there."""
        self.router.apply(
            Snapshot(
                applications={spec.name: spec for spec in (self.application, *specs)},
                models={
                    n: ModelSpec(id=n, name=f"m{n}", input_type="doubles", live_version_id=n)
                    for n in (1, 2, 3)
                },
                versions={n: version(n) for n in (1, 2, 3)},
                versions_by_arm={f"m{n}:1": version(n) for n in (1, 2, 3)},
            )
        )
        self.engine.expect(self.router.expected_versions())

    def begin(self, **changes: Any) -> Query:
        return self.processor.begin(
            self.application, **({"input": b"[1]", "arrived": monotonic()} | changes)
        )
