"""Health of a process that answers queries: of all it needs, and of itself alone."""

import asyncio
from collections.abc import Mapping

import msgspec

from core.errors import NotReady
from registry.releases.control import NO_SLOTS, Slots, read_control_async
from selection.store.redis_keys import REDIS_ERRORS
from serving.http.asgi import (
    DRAINING_KEY,
    Endpoint,
    Receive,
    Scope,
    Send,
    endpoint,
    require_method,
    send_body,
)
from serving.web.readiness import OK, Readiness, console_state, model_readiness
from serving.web.runtime import Runtime

CHECK_TIMEOUT_S = 2.0


def ready_endpoint(runtime: Runtime) -> Endpoint:
    """Return 200 if the database, Redis and all routed models can be reached, else 503."""

    @endpoint
    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        _refuse_if_draining(scope)
        found = await _readiness(runtime)
        if found.failing:
            missing = "; ".join(f"{name}: {state}" for name, state in found.failing.items())
            raise NotReady(f"Not ready: {missing}.", checks=found.states)
        await send_body(send, msgspec.json.encode({"ready": True, "checks": found.states}))

    return ready


def serving_endpoint() -> Endpoint:
    """Return 200 while this process answers queries, else 503; for load balancers.

    Redis, the database and the console are the same for its peers, so they don't count.
    """

    @endpoint
    async def serving(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        _refuse_if_draining(scope)
        await send_body(send, b'{"serving":true}')

    return serving


def _refuse_if_draining(scope: Scope) -> None:
    if scope["state"][DRAINING_KEY]:
        raise NotReady("Not ready: this process is draining.", checks={"process": "draining"})


async def _readiness(runtime: Runtime) -> Readiness:
    database, (redis_state, control, slots), console = await asyncio.gather(
        _database(runtime), _redis(runtime), console_state(runtime.spec.console)
    )
    found = Readiness()
    found.note("database", database, fails=database != OK)
    found.note("redis", redis_state, fails=redis_state != OK)
    # These fail nothing: another web process would be no better off.
    found.note("control", control)
    found.note("console", console)
    if words := runtime.redis_memory.memory.words():
        found.note("redis memory", words)
    if words := runtime.registry.describe_faults():
        found.note("registry", words)
    models = model_readiness(
        runtime.router,
        connected=runtime.engine.connected,
        records=runtime.records,
        unreachable=runtime.unreachable(),
        slots=slots,
    )
    found.states |= models.states
    found.failing |= models.failing
    return found


async def _database(runtime: Runtime) -> str:
    try:
        await runtime.in_thread(runtime.spec.check_database, seconds=CHECK_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  (each database driver has errors of its own)
        return f"cannot be reached ({type(error).__name__})"
    return OK


async def _redis(runtime: Runtime) -> tuple[str, str, Mapping[str, Slots]]:
    """Return the state of Redis, and of control with the slots that its last round found."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await runtime.redis.ping()
            control = await read_control_async(runtime.redis)
    except REDIS_ERRORS as error:
        away = f"cannot be reached ({type(error).__name__})"
        return away, "unknown while Redis cannot be reached", NO_SLOTS
    return OK, control.problem or OK, control.last.slots if control.last else NO_SLOTS
