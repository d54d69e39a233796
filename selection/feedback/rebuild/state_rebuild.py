"""Builds what an application has learned anew from the feedback table, while feedback goes on.

Rows are replayed as far as the stream has been emptied; what comes meanwhile is read from it. A
context is written only while the stream's last entry is the last one replayed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import redis
from redis.exceptions import LockError
from redis.lock import Lock

from core.errors import Conflict
from core.redis.locks import exclusively
from core.specs import ApplicationSpec
from registry.following.reading import read_application
from registry.models import Application
from selection.feedback.persistence.drain import TAKEN_OVER_AFTER_MS, persist_feedback
from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.feedback.persistence.stream import in_order, position_text
from selection.feedback.rebuild.pruning import load_checkpoints
from selection.feedback.rebuild.replay import Replay
from selection.feedback.rebuild.replay_source import (
    first_position,
    from_database,
    from_stream,
    last_position,
)
from selection.feedback.rebuild.state_swap import exchange, last_entry
from selection.kinds import INPUT
from selection.models import Feedback
from selection.policies import make_policy
from selection.store.redis_keys import (
    GLOBAL_CONTEXT,
    PERSIST_LOCK,
    STREAM,
    contexts_key,
    redis_needed_blocking,
    seen_key,
)

LOCK_WAIT_S = 60.0
MOST_ATTEMPTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildResult:
    """The entries learned from, the contexts there are now, and those of which Redis differed."""

    observed: int
    contexts: int
    differing: tuple[str, ...]


def rebuild(
    client: redis.Redis, application: Application, *, dry_run: bool = False
) -> RebuildResult:
    """Replay an application's feedback and put the result in Redis; counts of queries stay.

    Raises Unavailable without Redis, Conflict if feedback is persisted elsewhere or comes too fast.
    """
    spec = read_application(application)
    first = first_position(spec.id)
    replay = Replay(
        make_policy(spec.policy, spec.policy_params), contexts=load_checkpoints(spec.id)
    )
    with redis_needed_blocking():
        with _persisting_alone() as lock:
            cut = _emptied(client, application_id=spec.id, lock=lock)
        if not dry_run:
            # A receipt that counts again before this is known when the stream is emptied next.
            restore_marks(client, spec)
        # The long part: meanwhile feedback is persisted as always.
        replay.follow(from_database(spec.id, after=-1, up_to=cut))
        with _persisting_alone() as lock:
            known = cut
            cut = _emptied(client, application_id=spec.id, lock=lock)
            replay.follow(from_database(spec.id, after=known, up_to=cut))
            if first is not None and first_position(spec.id) != first:
                raise Conflict("Old feedback was pruned meanwhile; try again.")
            writing = _Writing(client, spec, replay=replay, cut=cut)
            differing = writing.finish(lock, write=not dry_run)
    return RebuildResult(
        observed=replay.observed, contexts=len(replay.contexts), differing=tuple(differing)
    )


@contextmanager
def _persisting_alone() -> Iterator[Lock]:
    """Keep others from moving feedback to the database."""
    with exclusively(PERSIST_LOCK, ttl_s=30.0, wait_s=LOCK_WAIT_S) as lock:
        if lock is None:
            raise Conflict(f"Feedback was persisted elsewhere for {LOCK_WAIT_S:g} s; try again.")
        try:
            yield lock
        except LockError as error:
            raise _persisted_elsewhere() from error


def _emptied(client: redis.Redis, *, application_id: int, lock: Lock) -> int:
    """Move the stream into the database; return the position up to which everything is there."""
    position = in_order(last_entry(client))
    while True:
        while client.xrange(STREAM, max=position_text(position), count=1):
            if not persist_feedback(client):
                raise Conflict(
                    "Some feedback is held by a process that ended while it moved it to the "
                    f"database; {TAKEN_OVER_AFTER_MS // 1000} s later it is free: try again then."
                )
            lock.reacquire()
        kept = last_position(application_id)
        if kept <= position:
            return position
        position = kept


def restore_marks(client: redis.Redis, application: ApplicationSpec) -> None:
    """Mark the receipts in the table that callers could still send; those marked already stay."""
    now = datetime.now(UTC)
    life = timedelta(seconds=application.feedback_window_s + SEEN_MARGIN_S)
    # By when feedback came, which has an index; no receipt was issued after that.
    rows = Feedback.objects.filter(application_id=application.id, received_at__gte=now - life)
    # Nobody has a receipt of a labelled input.
    counted = rows.exclude(kind=INPUT).order_by().values_list("nonce", "issued_at")
    receipts = counted.iterator(chunk_size=1000)
    while some := list(islice(receipts, 1000)):
        with client.pipeline(transaction=False) as pipe:
            for nonce, issued_at in some:
                left_s = (issued_at + life - now).total_seconds()
                if left_s >= 1.0:
                    pipe.set(seen_key(nonce), "1", nx=True, ex=int(left_s))
            pipe.execute()


class _Writing:
    """Writes context after context, and follows feedback that comes.

    The global one is the last: what it learns from a context depends on what that one knows.
    """

    def __init__(
        self, client: redis.Redis, application: ApplicationSpec, *, replay: Replay, cut: int
    ) -> None:
        self._client = client
        self._application = application
        self._replay = replay
        self._cut = cut
        self._last = position_text(cut)

    def finish(self, lock: Lock, *, write: bool) -> list[str]:
        """Return the contexts of which Redis had something else."""
        self._follow()
        left = self._contexts()
        differing: list[str] = []
        # Contexts written in one transaction, fewer each time that feedback came in between.
        at_once = 128
        for _ in range(MOST_ATTEMPTS):
            if not left:
                return differing
            some = tuple(islice(left, at_once))
            same = exchange(
                self._client,
                self._application,
                states={context: self._replay.contexts.get(context) for context in some},
                expected=self._last,
                write=write,
            )
            if same is None:
                at_once = max(1, at_once // 2)
                self._follow()
            else:
                at_once = min(2 * at_once, 128)
                differing += [context for context in some if not same[context]]
                for context in some:
                    del left[context]
            lock.reacquire()
        raise Conflict("Feedback comes faster than it can be followed; try again.")

    def _contexts(self) -> dict[str, None]:
        """Those to write: what was replayed, and what Redis has beyond it."""
        names: Any = self._client.zrange(contexts_key(self._application.id), 0, -1)
        known = (name.decode() for name in names)
        names = (*self._replay.contexts, *known)
        return {**{name: None for name in names if name != GLOBAL_CONTEXT}, GLOBAL_CONTEXT: None}

    def _follow(self) -> None:
        """Replay what the stream has got since."""
        self._last = last_entry(self._client)
        if in_order(self._last) <= self._cut:
            return
        after = f"({position_text(self._cut)}"
        entries: Any = self._client.xrange(STREAM, min=after, max=self._last)
        if not entries or entries[-1][0].decode() != self._last:
            raise _persisted_elsewhere()
        self._replay.follow(from_stream(entries, application_id=self._application.id))
        self._cut = in_order(self._last)


def _persisted_elsewhere() -> Conflict:
    return Conflict("Another process persists feedback meanwhile; try again.")
