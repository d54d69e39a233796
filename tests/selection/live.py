"""An application whose feedback is counted by a real Redis, and what that has learned."""

import asyncio
from typing import Any

import redis
from redis.asyncio import Redis

from registry.models import Application
from selection.feedback.persistence.drain import persist_feedback
from selection.feedback.persistence.journal import FeedbackJournal, JournalUpdate
from selection.policies import make_policy
from selection.store.query_counts import QueryCounts
from selection.store.redis_keys import PEOPLE, QUERIES, state_key
from tests.selection.updates import feedback_update, journal_update


class Live:
    """An application that is taught, asked and reset."""

    def __init__(self, stream: redis.Redis, socket: str, application: Application) -> None:
        self.stream, self.socket, self.application = stream, socket, application
        self.policy = make_policy(application.policy, application.policy_params)

    def teach(
        self,
        losses: dict[str, float] | None = None,
        *,
        context: str = "",
        routed: tuple[str, ...] = ("svm:1", "knn:1"),
        **changes: Any,
    ) -> bool:
        """Give feedback, and say whether it was counted."""
        losses = losses or {"svm:1": 1.0}
        one = feedback_update(
            self.policy,
            losses,
            context=context,
            routed=routed,
            application_id=self.application.pk,
            **changes,
        )
        return self._append(one)

    def force(self) -> None:
        """Feedback on a version that its caller chose teaches nothing."""
        self._append(journal_update("", None, application_id=self.application.pk))

    def ask(self, context: str) -> None:
        async def ask() -> None:
            async with Redis(unix_socket_path=self.socket) as client:
                counts = QueryCounts(client)
                counts.add((self.application.pk, 86_400, context, ("svm:1",)), 1)
                await counts.flush()

        asyncio.run(ask())

    def persist(self) -> None:
        while persist_feedback(self.stream):
            pass

    def _append(self, one: JournalUpdate) -> bool:
        async def append() -> bool:
            async with Redis(unix_socket_path=self.socket) as client:
                (left,) = await FeedbackJournal(client).append([one])
                return left is not None

        return asyncio.run(append())

    def states(self) -> dict[str, dict[bytes, bytes]]:
        """All that was learned, by context; not what only queries left."""
        start = state_key(self.application.pk, "")
        fields: dict[str, Any] = {
            key.decode().removeprefix(start): {
                name: value
                for name, value in self.stream.hgetall(key).items()
                if not name.startswith(QUERIES.encode())
            }
            for key in self.stream.keys(f"{start}*")
        }
        people = f"{PEOPLE}{self.application.pk}:"
        for key in self.stream.keys(f"{people}*"):
            fields[key.decode().removeprefix(people)] |= self.stream.hgetall(key)
        return {context: learned for context, learned in fields.items() if learned}

    def lose(self) -> None:
        """Redis starts with nothing, as after the loss of its disk."""
        self.stream.flushall()
