"""Parts of both kinds of web process: limits of clients, connections to the database."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from serving.http.limits import Limits

P = ParamSpec("P")
T = TypeVar("T")


def new_limits() -> Limits:
    """Return the limits of what clients of this web process may take; it needs them once."""
    return Limits(
        head_s=settings.CLIPPER_HEAD_TIMEOUT_S,
        body_s=settings.CLIPPER_BODY_TIMEOUT_S,
        body_rate=settings.CLIPPER_BODY_RATE,
        authentication_s=settings.CLIPPER_AUTHENTICATION_TIMEOUT_S,
        unfinished_bytes=settings.CLIPPER_UNFINISHED_BYTES,
    )


def with_kept_connection(work: Callable[P, T]) -> Callable[P, T]:
    """Work with the thread's connection, and with a new one if that one broke."""

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
