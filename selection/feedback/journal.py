"""Writes observations to Redis: each counted once, and durable when `append` returns.

One script per observation marks its nonce as seen, appends the event to the stream, and moves the
state, all of it or nothing; a request's observations go in few transactions. An append-only Redis
with `appendfsync always` answers only when its file has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from selection.feedback.counting import SCRIPT
from selection.feedback.events import FeedbackEvent
from selection.policies.statistics import PAIRS, REWARDS, State, StatisticKind, Update
from selection.store.keys import (
    GLOBAL_CONTEXT,
    STREAM,
    contexts_key,
    seen_key,
    state_key,
    unpack_vector,
)
from selection.store.replicas import replicated
from selection.store.scripts import ScriptCall

# The mark outlives the feedback window, so that no clock's drift lets a receipt count twice.
SEEN_MARGIN_S = 3600
# So many go in one transaction: they keep the event loop for two milliseconds, and Redis for nine.
WRITTEN_AT_ONCE = 64
# Of the connections to Redis so many may wait for its replicas; the others are for everything else.
WAITS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """An event, and what it teaches the state of its context; None: nothing. It counts once by its
    `mark`.
    """

    mark: bytes
    event: FeedbackEvent
    update: Update | None
    window_s: int
    context_ttl_s: int
    max_contexts: int


# What of the states of some contexts there is now, by context.
States = Mapping[str, State]


class FeedbackJournal:
    """Appends observations; says of each whether it was counted or seen before."""

    def __init__(self, redis: Redis, *, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self._waits = asyncio.Semaphore(WAITS_AT_ONCE)
        self._encode = msgspec.msgpack.Encoder().encode

    async def append(self, observations: Sequence[JournalEntry]) -> list[States | None]:
        """Return, in order, what each left of its arms, by context; None where it was seen before.

        So many `replicas` of Redis have it then as well; raises `Unavailable` where they don't.
        Errors of Redis come through: the observations may or may not have been counted then. Where
        it refuses one, all the others have been that it takes.
        """
        if not observations:
            return []
        left: list[States | None] = []
        refused: ResponseError | None = None
        for first in range(0, len(observations), WRITTEN_AT_ONCE):
            some = observations[first : first + WRITTEN_AT_ONCE]
            try:
                results = await SCRIPT.run(self._redis, [self._call(each) for each in some])
            except ResponseError as error:
                refused = error
            else:
                left += map(_left, some, results)
        if refused is not None:
            raise refused
        async with self._waits:
            await replicated(self._redis, replicas=self._replicas)
        return left

    async def counted(self, marks: Sequence[bytes]) -> set[bytes]:
        """Return those of the marks by which something has counted."""
        found = await self._redis.mget([seen_key(mark.hex()) for mark in marks])
        return {mark for mark, value in zip(marks, found, strict=True) if value is not None}

    def _call(self, observation: JournalEntry) -> ScriptCall:
        event = observation.event
        return ScriptCall(
            keys=[
                seen_key(observation.mark.hex()),
                STREAM,
                state_key(event.application_id, event.context),
                state_key(event.application_id, GLOBAL_CONTEXT),
                contexts_key(event.application_id),
            ],
            arguments=[
                observation.window_s + SEEN_MARGIN_S,
                self._encode(event),
                f"{event.received_at_ms / 1000:.3f}",
                event.context,
                observation.context_ttl_s,
                observation.max_contexts,
                state_key(event.application_id, ""),
                b"" if observation.update is None else self._lesson(observation.update),
            ],
        )

    def _lesson(self, update: Update) -> bytes:
        statistic_kinds = [(*statistic, deltas) for statistic, deltas in update.deltas.items()]
        return self._encode(
            (
                update.arms,
                update.routed,
                update.observed,
                update.at_ms,
                update.keep,
                *update.warm_start,
                statistic_kinds,
                PAIRS,
            )
        )


def _left(observation: JournalEntry, result: object) -> States | None:
    if not isinstance(result, list):
        return None
    update, context, texts = observation.update, observation.event.context, iter(result)
    if update is None:
        return {}
    arms, kinds = update.arms, tuple(update.deltas)
    states = {context: _state(kinds, arms, texts)}
    if context != GLOBAL_CONTEXT:
        paired = (PAIRS,) if update.deltas.get(REWARDS) else ()
        states[GLOBAL_CONTEXT] = _state((*kinds, *paired), arms, texts)
    return states


def _state(kinds: Iterable[StatisticKind], arms: Iterable[str], texts: Iterator[bytes]) -> State:
    return State({kind.name: {arm: unpack_vector(next(texts)) for arm in arms} for kind in kinds})
