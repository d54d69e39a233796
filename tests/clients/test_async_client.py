"""The async client does what the plain one does, many things at once."""

import asyncio

import pytest
from sklearn.linear_model import LogisticRegression

from clipper_client import AsyncClient, ClipperError
from tests.clients.sources import Rows
from tests.integration.stack import Stack


async def test_it_deploys_asks_and_takes_feedback(
    stack: Stack, key: str, rows: Rows, linear: LogisticRegression
) -> None:
    async with AsyncClient(stack.url, key) as client:
        release = await client.deploy("later", linear, example=rows[:2], app="later", slo_ms=1_000)
        assert (release.version, release.state) == ("1", "live")
        answers = await asyncio.gather(*(client.predict("later", row) for row in rows[:50]))
        assert [answer.output for answer in answers] == linear.predict(rows[:50]).tolist()
        assert (await client.feedback(answers[0], label=1)).accepted == 1
        assert [a.output for a in await client.predict_batch("later", rows[:2])]
        assert "later" in [model["name"] for model in (await client.status()).models]


async def test_a_session_has_many_questions_under_way(
    stack: Stack, key: str, churn: str, rows: Rows, linear: LogisticRegression
) -> None:
    async with AsyncClient(stack.url, key) as client, client.session(churn) as session:
        answers = await asyncio.gather(*(session.predict(row) for row in rows[:200]))
        assert [answer.output for answer in answers] == linear.predict(rows[:200]).tolist()
        assert (await session.feedback(answers[0], label=1)).accepted == 1
        with pytest.raises(ClipperError, match="expected 30 numbers"):
            await session.predict([1.0])
