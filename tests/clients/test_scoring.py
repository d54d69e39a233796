"""Scoring: any number of rows, in order, whatever their form."""

import asyncio
import json
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clipper_client import AsyncClient, Client, ClipperError
from tests.clients.busy_server import Planned, serving
from tests.clients.sources import Rows
from tests.integration.stack import Stack


@pytest.fixture(scope="module")
def many() -> Rows:
    return np.random.default_rng(3).normal(size=(20_000, 30))


def test_every_row_has_its_output_in_order(
    client: Client, churn: str, many: Rows, linear: LogisticRegression
) -> None:
    assert client.score(churn, many) == linear.predict(many).tolist()


def test_large_rows_are_not_held_until_there_are_many() -> None:
    taken = 0

    def rows() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(256):
            taken += 1
            yield bytes(1 << 20)

    answer = Planned(body=b'{"outputs": %s}' % json.dumps([0] * 8).encode())
    with serving(answer) as server, Client(server.url, "k") as client:
        next(client.score_each("a", rows()))
    assert taken == 24  # three requests of eight


def test_it_shows_how_far_it_is(
    client: Client, churn: str, many: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    client.score(churn, many[:300], progress=True)
    assert "300 of 300 rows" in capsys.readouterr().err


def test_rows_that_fail_are_named(client: Client, churn: str, many: Rows) -> None:
    rows: list[Any] = many[:600].tolist()
    rows[5], rows[400] = [1.0], [float("nan")] * 30
    with pytest.raises(ClipperError) as caught:
        client.score(churn, rows)
    assert caught.value.code == "rows_failed"
    assert caught.value.details["rows"][0] == 5
    kept = client.score(churn, rows, errors="keep")
    assert isinstance(kept[5], ClipperError)
    assert kept[5].details == {"row": 5}
    assert kept[6] == client.predict(churn, rows[6]).output


def test_a_table_that_is_wrong_altogether_is_not_asked_to_its_end(
    client: Client, churn: str
) -> None:
    rows = iter([[1.0]] * 100_000)
    with pytest.raises(ClipperError):
        client.score(churn, rows)
    assert len(list(rows)) > 90_000


def test_outputs_can_be_had_as_they_come(
    client: Client, churn: str, many: Rows, linear: LogisticRegression
) -> None:
    endless = cycle(many[:300].tolist())
    first = list(islice(client.score_each(churn, endless), 700))
    assert first == [*islice(cycle(linear.predict(many[:300]).tolist()), 700)]


def test_outputs_come_up_to_the_row_that_failed(client: Client, churn: str, many: Rows) -> None:
    rows: list[Any] = many[:600].tolist()
    rows[400] = [1.0]
    found: list[Any] = []
    with pytest.raises(ClipperError, match="row 400 first"):
        found.extend(client.score_each(churn, rows))
    assert len(found) == 400
    assert isinstance([*client.score_each(churn, rows, errors="keep")][400], ClipperError)


async def test_the_async_client_scores_the_same(
    stack: Stack, key: str, churn: str, many: Rows, linear: LogisticRegression
) -> None:
    async with AsyncClient(stack.url, key) as client:
        expected = linear.predict(many[:3_000]).tolist()
        assert await client.score(churn, many[:3_000]) == expected
        assert [output async for output in client.score_each(churn, many[:3_000])] == expected
        with pytest.raises(ClipperError):
            await client.score(churn, [[1.0]] * 3_000)
        assert len(asyncio.all_tasks()) == 1
