"""Liveness, readiness and the numbers for Prometheus."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from registry.errors import NotReady
from selection.storage import REDIS_ERRORS, redis_needed
from serving.api.http import Endpoint, Receive, Scope, Send, endpoint, require_method, send_body
from serving.metrics import exposition, read_published_async
from serving.runtime import Runtime

CHECK_TIMEOUT_S = 2.0
PROMETHEUS_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
OK = "ok"


def live_endpoint(runtime: Runtime) -> Endpoint:
    """Answers as long as the event loop turns."""

    @endpoint
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        await send_body(send, b'{"live":true}')

    return live


def ready_endpoint(runtime: Runtime) -> Endpoint:
    """Ready: the database, Redis and every routed model can be reached; else 503 says which not."""

    @endpoint
    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        checks = await _checks(runtime)
        failed = {name: state for name, state in checks.items() if state != OK}
        if failed:
            missing = "; ".join(f"{name}: {state}" for name, state in failed.items())
            raise NotReady(f"Not ready: {missing}.", checks=checks)
        await send_body(send, msgspec.json.encode({"ready": True, "checks": checks}))

    return ready


def metrics_endpoint(runtime: Runtime) -> Endpoint:
    """Prometheus text of every web process, each with its own `process` label."""

    @endpoint
    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET")
        async with redis_needed(timeout_s=CHECK_TIMEOUT_S):
            documents = await read_published_async(runtime.redis)
        body = await asyncio.to_thread(exposition, documents)
        await send_body(send, body, headers=[PROMETHEUS_TYPE])

    return metrics


async def _checks(runtime: Runtime) -> dict[str, str]:
    database, redis_state = await asyncio.gather(_database(runtime), _redis(runtime))
    return {"database": database, "redis": redis_state, **_models(runtime)}


async def _database(runtime: Runtime) -> str:
    try:
        await runtime.in_thread(runtime.spec.check_database, seconds=CHECK_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  (each database driver has errors of its own)
        return f"cannot be reached ({type(error).__name__})"
    return OK


async def _redis(runtime: Runtime) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await runtime.redis.ping()
    except REDIS_ERRORS as error:
        return f"cannot be reached ({type(error).__name__})"
    return OK


def _models(runtime: Runtime) -> dict[str, Any]:
    """State of each routed version, and of models that are routed but never were deployed."""
    snapshot, router = runtime.snapshot, runtime.router
    states = {}
    for application in snapshot.applications.values():
        for arm, target in router.arms(application).targets.items():
            connected = runtime.engine.connected(target.version.id)
            states[f"model {arm}"] = OK if connected else "no replica is connected"
        for route in application.routes:
            model = snapshot.models.get(route.model_id)
            if route.pinned_version_id is None and model and model.live_version_id is None:
                states[f"model {route.model}"] = "no version was deployed"
    return states
