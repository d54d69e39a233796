"""A process that gives feedback as a web process does; others may do so at once."""

import asyncio

from redis.asyncio import Redis

from selection.feedback.persistence.journal import FeedbackJournal
from selection.policies import make_policy
from tests.selection.updates import feedback_update

ARMS = ("svm:2", "tree:1")
POLICY = make_policy("exp3", {})


def observe_many(socket: str, seed: int, count: int, application_id: int = 1) -> None:
    """Give feedback as one web process does: its own, now in this context, now in that one."""

    async def work() -> None:
        async with Redis(unix_socket_path=socket) as client:
            journal = FeedbackJournal(client)
            for number in range(0, count, 5):
                await journal.append(
                    [
                        feedback_update(
                            POLICY,
                            {ARMS[(seed + i) % 2]: (number + seed + i) % 7 / 7},
                            context=("", "ann")[(number + i) % 2],
                            routed=ARMS,
                            chance=0.3,
                            application_id=application_id,
                        )
                        for i in range(5)
                    ]
                )

    asyncio.run(work())
