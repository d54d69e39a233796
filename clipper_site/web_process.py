"""What both kinds of web process have: limits of clients, and parts that live as long as it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from serving.api.http import Endpoint, Receive, Scope, Send
from serving.api.limits import Limits
from serving.api.moving import Moves, MovingConnection
from serving.api.whose import Kind

START_TIMEOUT_S = 30.0

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

State = MutableMapping[str, Any]
# Starts the parts of a process, leaves in the state what connections look for there, and gives the
# application that is served until the block ends.
Process = Callable[[State], AbstractAsyncContextManager[Endpoint]]


class WithLifespan:
    """The ASGI application of a web process (neither Django nor Channels start anything).

    `connection` is the protocol that its connections are served by.
    """

    def __init__(self, process: Process, *, connection: type[MovingConnection]) -> None:
        self.connection = connection
        self._process = process
        self._routes: Endpoint | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope["state"], receive, send)
        elif self._routes is not None:
            await self._routes(scope, receive, send)

    async def _lifespan(self, state: State, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as parts:
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    self._routes = await parts.enter_async_context(self._process(state))
            except Exception as error:
                logger.exception("the web process did not start")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def new_limits() -> Limits:
    """Return the limits of what clients of this web process may take; it needs them once."""
    return Limits(
        head_s=settings.CLIPPER_HEAD_TIMEOUT_S,
        body_s=settings.CLIPPER_BODY_TIMEOUT_S,
        body_rate=settings.CLIPPER_BODY_RATE,
        authentication_s=settings.CLIPPER_AUTHENTICATION_TIMEOUT_S,
        unfinished_bytes=settings.CLIPPER_UNFINISHED_BYTES,
    )


def moves_of(own: Kind) -> Moves:
    """Return where a process of this kind hands over what the other kind answers."""
    other = Kind.CONSOLE if own is Kind.PREDICT else Kind.PREDICT
    return Moves(own=own, other=str(settings.CLIPPER_RUN_DIR / f"{other}.sock"))


def with_kept_connection(work: Callable[P, T]) -> Callable[P, T]:
    """Ask by the connection that the thread has, and by another where that one broke.

    To open one to SQLite costs more than what is read of a change.
    """

    def worked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except (OperationalError, InterfaceError):
            connection.close()
            return work(*args, **kwargs)

    return worked


def with_fresh_connection(work: Callable[P, T]) -> Callable[P, T]:
    """Drop a database connection that broke since the thread last used it."""

    def worked(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return worked
