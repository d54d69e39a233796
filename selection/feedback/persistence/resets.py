"""Has an application forget what it learned: atomically, and in its turn among feedback."""

import time

import msgspec
import redis
from django.conf import settings
from django.db import transaction

from registry.models import Application, AuditEntry
from registry.services import Actor, record_done
from selection.feedback.events import ResetEvent
from selection.store.redis_keys import (
    GLOBAL_CONTEXT,
    STREAM,
    contexts_key,
    redis_needed_blocking,
    state_key,
)
from selection.store.replication import replicated_blocking
from selection.store.scripts import Script, ScriptCall

# KEYS  stream, state, contexts
# ARGV  event, context, '1' for every context, what a state's key begins with.
# The entry tells the database, so that a replay forgets at the same place.
SCRIPT = Script("""
redis.call('XADD', KEYS[1], '*', 'reset', ARGV[1])
redis.call('UNLINK', KEYS[2], people_of(KEYS[2]))
if ARGV[3] ~= '1' then
  redis.call('ZREM', KEYS[3], ARGV[2])
  return
end
local contexts = redis.call('ZRANGE', KEYS[3], 0, -1)
for _, context in ipairs(contexts) do
  redis.call('UNLINK', ARGV[4] .. context, people_of(ARGV[4] .. context))
end
redis.call('UNLINK', KEYS[3])
""")


def forget(
    client: redis.Redis, application: Application, *, context: str | None, by: Actor
) -> None:
    """Reset one context, or all (None), and record who did. Raises Unavailable without Redis."""
    what = "all contexts" if context is None else f"context {context!r}"
    with transaction.atomic():
        record_done(
            application,
            by=by,
            action=AuditEntry.Action.RESET,
            changes={"learned": [what, "nothing"]},
        )
        reset(client, application, context=context, by=by.label)


def reset(client: redis.Redis, application: Application, *, context: str | None, by: str) -> None:
    """Forget what one context learned, or all (None). Raises Unavailable without Redis."""
    event = ResetEvent(
        application_id=application.pk, context=context, at_ms=int(time.time() * 1000), by=by
    )
    name = GLOBAL_CONTEXT if context is None else context
    call = ScriptCall(
        keys=[STREAM, state_key(application.pk, name), contexts_key(application.pk)],
        arguments=[
            msgspec.msgpack.encode(event),
            name,
            "1" if context is None else "",
            state_key(application.pk, ""),
        ],
    )
    with redis_needed_blocking():
        SCRIPT.run_blocking(client, [call])
        replicated_blocking(client, replicas=settings.CLIPPER_REDIS_REPLICAS)
