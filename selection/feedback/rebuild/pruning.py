"""Takes old feedback out of the table; what a replay of it comes to stays, in checkpoints."""

import logging
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

import msgspec
from django.db import transaction
from redis.exceptions import LockError

from core.redis.locks import exclusively
from core.specs import ApplicationSpec
from registry.following.reading import build_snapshot
from registry.models import Application
from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.feedback.persistence.stream import PLACE_BITS
from selection.feedback.rebuild.replay import Replay, ReplayedContext
from selection.feedback.rebuild.replay_source import from_database
from selection.models import Feedback, StateCheckpoint, StateReset
from selection.policies import make_policy

PRUNE_LOCK = "clipper:lock:pruning"

logger = logging.getLogger(__name__)

_decode = msgspec.msgpack.Decoder(ReplayedContext).decode
_encode = msgspec.msgpack.Encoder().encode


def prune_old_feedback() -> int:
    """Take out what is older than its application keeps; return how many rows have gone."""
    gone = 0
    with exclusively(PRUNE_LOCK, ttl_s=60.0) as lock:
        if lock is None:
            return 0
        for application in build_snapshot().applications.values():
            before = oldest_kept(application, now=time.time())
            if before is None:
                continue
            try:
                for count in prune(application, before=before):
                    gone += count
                    lock.reacquire()
            except LockError:
                break  # a transaction took longer than the lock; the next round goes on
    if gone:
        logger.info("old feedback pruned rows=%d", gone)
    return gone


def oldest_kept(application: ApplicationSpec, *, now: float) -> int | None:
    """Return the position before which feedback goes; None where it is kept for good."""
    if application.keep_feedback_s is None:
        return None
    kept_s = max(application.keep_feedback_s, application.feedback_window_s + SEEN_MARGIN_S)
    return int((now - kept_s) * 1000) << PLACE_BITS


def prune(application: ApplicationSpec, *, before: int, at_once: int = 2000) -> Iterator[int]:
    """Take out the feedback at positions below `before`, and yield how many rows went each time.

    `at_once` go in one transaction: a fifth of a second for five arms, in which SQLite takes no
    other writes.
    """
    if not Feedback.objects.filter(application_id=application.id, position__lt=before).exists():
        return
    policy = make_policy(application.policy, application.policy_params)
    replay = Replay(policy, contexts=load_checkpoints(application.id))
    while (up_to := _next_end(application.id, before=before, count=at_once)) is not None:
        with transaction.atomic():
            rows = Application.objects.select_for_update(no_key=True)
            if rows.filter(pk=application.id).first() is None:
                return  # it has gone, and the rest with it
            replay.changed.clear()
            replay.follow(from_database(application.id, after=-1, up_to=up_to))
            _store_checkpoints(application.id, contexts=replay.contexts, changed=replay.changed)
            went = {"application_id": application.id, "position__lte": up_to}
            count, _ = Feedback.objects.filter(**went).delete()
            StateReset.objects.filter(**went).delete()
        yield count


def _next_end(application_id: int, *, before: int, count: int) -> int | None:
    """Return the position of the last row that goes next; None where none is left."""
    rows = Feedback.objects.filter(application_id=application_id, position__lt=before)
    next_ones = rows.order_by("position").values_list("position", flat=True)[:count]
    return max(next_ones, default=None)


# --- exact states of contexts before the feedback that is still in the table ---------------------


def load_checkpoints(application_id: int) -> dict[str, ReplayedContext]:
    """Return what each context had learned."""
    rows = StateCheckpoint.objects.filter(application_id=application_id)
    found = rows.values_list("context", "learned").iterator(chunk_size=500)
    return {context: _decode(bytes(learned)) for context, learned in found}


def _store_checkpoints(
    application_id: int, *, contexts: Mapping[str, ReplayedContext], changed: AbstractSet[str]
) -> None:
    """Write the `changed` contexts, and forget those of them that are not there any more."""
    rows = StateCheckpoint.objects.filter(application_id=application_id)
    gone = sorted(changed - contexts.keys())
    for start in range(0, len(gone), 500):
        rows.filter(context__in=gone[start : start + 500]).delete()
    StateCheckpoint.objects.bulk_create(
        [
            StateCheckpoint(
                application_id=application_id, context=name, learned=_encode(contexts[name])
            )
            for name in sorted(changed & contexts.keys())
        ],
        batch_size=500,
        update_conflicts=True,
        unique_fields=("application", "context"),
        update_fields=("learned",),
    )
