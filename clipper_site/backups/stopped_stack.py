"""Proof that nothing of the stack writes, for as long as its state is replaced or moved."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis
from django.conf import settings

from clipper_site.stack.layout import make_var, sole_stack_of
from clipper_site.stack.terminal import StackError
from core.errors import Conflict
from core.redis.redis_client import redis_client
from registry.releases.control import read_control
from serving.metrics.published import CONSOLES, WEBS

# Processes are heard of each second, and known for five.
SILENT_S = 10.0


@contextmanager
def stopped_stack(*, needs_redis: bool) -> Iterator[None]:
    """Keep the stack from starting while the block runs.

    Raises Conflict if it runs, and RedisError if `needs_redis` and Redis can't be asked.
    """
    try:
        make_var(settings.CLIPPER_VAR)
        with sole_stack_of(settings.CLIPPER_VAR):
            # Processes that no launcher started, in containers for instance, hold no lock.
            with suppress(*(() if needs_redis else (redis.RedisError,))):
                client = redis_client()
                age = read_control(client).age_s
                if (age is not None and age < SILENT_S) or WEBS.read(client) + CONSOLES.read(
                    client
                ):
                    raise Conflict(
                        "Expected a stopped stack, but a process was heard of in Redis less than "
                        f"{SILENT_S:g} s ago. Stop the stack and try again."
                    )
            yield
    except StackError as error:
        raise Conflict(str(error)) from error
