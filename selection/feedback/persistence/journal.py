"""Writes updates to Redis: each counted once, and durable when `append` returns."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from selection.feedback.events import FeedbackEvent
from selection.feedback.persistence.counting import SCRIPT
from selection.policies.arithmetic.sums import PAIRS, State, StatisticKind, Update, groups_of
from selection.store.redis_keys import (
    GLOBAL_CONTEXT,
    STREAM,
    contexts_key,
    seen_key,
    state_key,
    unpack_vector,
)
from selection.store.replication import replicated
from selection.store.scripts import ScriptCall

# The mark outlives the feedback window, so that no clock's drift lets a receipt count twice.
SEEN_MARGIN_S = 3600
# So many go in one transaction: they keep the event loop for two milliseconds, and Redis for nine.
WRITTEN_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalUpdate:
    """An event, and the update of its context's state, if any. It counts once by its `mark`."""

    mark: bytes
    event: FeedbackEvent
    update: Update | None
    window_s: int
    context_ttl_s: int
    max_contexts: int


# States of some contexts, by context.
States = Mapping[str, State]


class FeedbackJournal:
    """Appends updates, each unless it was seen before."""

    def __init__(self, redis: Redis, *, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        # At most this many connections may wait for replication.
        self._waits = asyncio.Semaphore(8)
        self._encode = msgspec.msgpack.Encoder().encode

    async def append(self, updates: Sequence[JournalUpdate]) -> list[States | None]:
        """Return, in order, the sums left by each, by context; None if it was seen before.

        Raises `Unavailable` if too few replicas have it, and errors of Redis: it may or may not
        count.
        """
        if not updates:
            return []
        left: list[States | None] = []
        refused: ResponseError | None = None
        for first in range(0, len(updates), WRITTEN_AT_ONCE):
            some = updates[first : first + WRITTEN_AT_ONCE]
            together = [list(group) for _, group in groupby(some, key=_shared)]
            try:
                results = await SCRIPT.run(self._redis, [self._call(group) for group in together])
            except ResponseError as error:
                refused = error
            else:
                for group, (counted, texts) in zip(together, results, strict=True):
                    states = _states(group[0], texts) if texts else {}
                    left += [states if counts else None for counts in counted]
        if refused is not None:
            raise refused
        if self._replicas:
            async with self._waits:
                await replicated(self._redis, replicas=self._replicas)
        return left

    async def counted(self, marks: Sequence[bytes]) -> set[bytes]:
        """Return those of the marks by which something has counted."""
        if not marks:
            return set()
        found = await self._redis.mget([seen_key(mark.hex()) for mark in marks])
        return {mark for mark, value in zip(marks, found, strict=True) if value is not None}

    def _call(self, updates: Sequence[JournalUpdate]) -> ScriptCall:
        """Count updates that are alike in `_shared`."""
        first = updates[0]
        application_id, context = first.event.application_id, first.event.context
        own: list[bytes] = []
        for each in updates:
            own += self._encode(each.event), b""
            if (update := each.update) is not None:
                groups = groups_of(update.key, context=context)
                deltas = tuple(update.deltas.values())
                own[-1] = self._encode((update.observed, deltas, update.counts, *groups))
        return ScriptCall(
            keys=[
                STREAM,
                state_key(application_id, context),
                state_key(application_id, GLOBAL_CONTEXT),
                contexts_key(application_id),
                *(seen_key(each.mark.hex()) for each in updates),
            ],
            arguments=[
                first.window_s + SEEN_MARGIN_S,
                f"{first.event.received_at_ms / 1000:.3f}",
                context,
                first.context_ttl_s,
                first.max_contexts,
                state_key(application_id, ""),
                b"" if first.update is None else self._encode((*_shared_by(first.update), PAIRS)),
                *own,
            ],
        )


def _shared(one: JournalUpdate) -> object:
    """Return what updates have in common that one call can count: context, arms, kinds of sums."""
    event, update = one.event, one.update
    return (
        event.application_id,
        event.context,
        event.received_at_ms,
        one.window_s,
        one.context_ttl_s,
        one.max_contexts,
        None if update is None else _shared_by(update),
    )


def _shared_by(update: Update) -> tuple[object, ...]:
    kinds = tuple(update.deltas)
    return update.arms, update.routed, update.at_ms, update.keep, update.warm_start, kinds


def _states(one: JournalUpdate, texts: Sequence[bytes]) -> States:
    update, context, rest = one.update, one.event.context, iter(texts)
    if update is None:
        return {}
    arms, kinds = update.arms, tuple(update.deltas)
    if context == GLOBAL_CONTEXT:
        return {context: _state(kinds, arms, rest)}
    own = tuple(kind for kind in kinds if not kind.everybody)
    states = {context: _state(own, arms, rest)}
    pairs = (PAIRS,) if len(texts) > (len(own) + len(kinds)) * len(arms) else ()
    return {**states, GLOBAL_CONTEXT: _state((*kinds, *pairs), arms, rest)}


def _state(kinds: Iterable[StatisticKind], arms: Iterable[str], texts: Iterator[bytes]) -> State:
    return State({kind.name: {arm: unpack_vector(next(texts)) for arm in arms} for kind in kinds})
