"""Stored rows come out page by page, as JSON, JSON lines or CSV."""

import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.test import Client

from core.redis.redis_client import redis_client
from registry import services
from registry.models import Application
from selection.evaluation.logged import LoggedQuery
from selection.evaluation.stored_rows import JSON_COLUMNS
from selection.store.redis_keys import input_sample_key
from tests.selection.evaluation.offpolicy.logs import asked
from tests.selection.evaluation.what_if.conftest import ARMS, BY, NOON, keep, make_application

PATH = "/api/v1/applications/digits/export"


def answer(query: str = "", *, accept: str = "*/*", **key: Any) -> Any:
    _, text = services.create_api_key(**{"name": "a key", "scopes": ("manage",), "by": BY, **key})
    path = query if query.startswith("/") else PATH + query
    return Client().get(path, headers={"Authorization": f"Api-Key {text}", "Accept": accept})


def pages(query: str) -> list[Any]:
    """Return all pages from one on, by what each links to."""
    found = [answer(query)]
    while link := found[-1].headers.get("Link"):
        assert link.endswith('>; rel="next"')
        found.append(answer(link[1 : link.index(">")]))
    return [page.json() for page in found]


def queries(number: int) -> list[LoggedQuery]:
    return [
        asked({"svm:1": float(i % 2)}, propensity=0.25, routed=["svm:1", "bayes:1"])
        for i in range(number)
    ]


def test_feedback_comes_page_by_page_oldest_first(digits: Application) -> None:
    keep(digits, queries(5))
    found = pages("?limit=2")
    assert [len(page["rows"]) for page in found] == [2, 2, 1]
    rows = [row for page in found for row in page["rows"]]
    assert [row["loss"] for row in rows] == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert all(list(row) == found[0]["columns"] for row in rows)
    assert rows[0] == {
        "query": f"{0:024x}",
        "asked_at": "2026-01-31T11:59:55Z",
        "received_at": "2026-01-31T11:59:56Z",
        "context": "",
        "key": "",
        "source": "receipt",
        "version": "svm:1",
        "propensity": 0.25,
        "output": 0,
        "label": 1,
        "reward": None,
        "loss": 1.0,
        "routed": ["svm:1", "bayes:1"],
        "features": [],
        "metrics": {},
        "forced": False,
        "held_out": False,
        "defaulted": False,
    }


def test_rows_that_came_at_the_same_time_are_on_one_page_each(digits: Application) -> None:
    keep(digits, queries(7), received_at=NOON)
    rows = [row["query"] for page in pages("?limit=3") for row in page["rows"]]
    assert rows == [f"{number:024x}" for number in range(7)]


def test_a_page_of_large_outputs_ends_early(digits: Application) -> None:
    large = [{"arm": "svm:1", "propensity": 1.0, "output": f'"{"x" * (1 << 20)}"', "loss": 0.0}]
    keep(digits, queries(6), arms=large)
    assert [len(page["rows"]) for page in pages("?limit=1000")] == [4, 2]


def test_it_is_narrowed_to_a_time_and_to_versions(digits: Application) -> None:
    keep(digits, queries(3))
    keep(digits, [asked(dict.fromkeys(ARMS, 1.0))])
    (page,) = pages("?since=2026-01-31T11:59:58Z&until=2026-01-31T12:00:00Z")
    assert [row["received_at"][-4:] for row in page["rows"]] == [":58Z", ":59Z"]
    (page,) = pages("?version=bayes:1&version=forest:1")
    assert {row["version"] for row in page["rows"]} == {"bayes:1", "forest:1"}
    assert answer("?version=none:1").json()["rows"] == []
    keep(digits, queries(1), received_at=datetime.now(NOON.tzinfo) - timedelta(hours=2))
    assert [len(answer(f"?since={ago}").json()["rows"]) for ago in ("1h", "3h", "90s")] == [0, 1, 0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    [
        "?context=ann",
        "?kind=secrets",
        "?limit=10001",
        "?cursor=1",
        "?cursor=1-x",
        "?cursor=99999999999999999999999-1",
        "?since=yesterday",
        "?since=1d&until=2d",
        "?kind=predictions&since=1d",
        "?kind=predictions&cursor=none:1",
    ],
)
def test_what_it_does_not_know_is_refused(query: str) -> None:
    make_application(keep_inputs=True)
    refused = answer(query)
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")


def test_json_lines_and_csv_say_the_same(digits: Application) -> None:
    trouble = ('a "b", c', "\r", "=1+1", " x\n", "'", "ü", "null")
    for number, context in enumerate(trouble):
        output = json.dumps([context, {"n": 0.1, "none": None}], indent=2)
        arms = [{"arm": "svm:1", "propensity": 1 / 3, "output": output, "loss": None}]
        label = json.dumps(context if number % 2 else None)
        fields = {"context": context, "label": label, "metrics": {"clicked": 0.1}}
        keep(digits, queries(1), arms=arms, features=[0.1, -1e-300], **fields)
    lines = answer(accept="application/x-ndjson")
    table = answer(accept="text/csv, */*")
    assert lines.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    read_lines = [msgspec.json.decode(line) for line in lines.content.splitlines()]
    assert read_lines == answer().json()["rows"]
    assert [row["context"] for row in read_lines] == list(trouble)
    assert [row["output"][0] for row in read_lines] == list(trouble)
    read = list(csv.DictReader(io.StringIO(table.content.decode(), newline=""), strict=True))
    assert [_typed(row) for row in read] == read_lines


def _typed(row: dict[str, str]) -> dict[str, Any]:
    """Return a row of CSV as the documentation says that it is read."""
    plain = JSON_COLUMNS | {"propensity", "reward", "loss", "forced", "held_out", "defaulted"}
    found = {}
    for column, text in row.items():
        is_json = column in plain
        found[column] = (json.loads(text) if text else None) if is_json else text
    return found


def test_decisions_are_queries_that_asked_one_version(digits: Application) -> None:
    keep(digits, [asked({"svm:1": 1.0, "b:1": 0.0}), asked({"svm:1": 1.0}, propensity=0.5)])
    keep(digits, [asked({"svm:1": 1.0}, given=False)])
    keep(digits, [asked({"svm:1": 1.0})], forced=True)
    (page,) = pages("?kind=decisions")
    (row,) = page["rows"]
    assert list(row) == page["columns"]
    assert (row["version"], row["propensity"], row["reward"]) == ("svm:1", 0.5, 1.0)
    assert row["routed"] == ["svm:1"]
    assert len(pages("")[0]["rows"]) == 5


@pytest.mark.django_db
def test_predictions_are_the_sample_that_is_kept() -> None:
    application = make_application(keep_inputs=True)
    for arm, given in (("svm:1", b"[1.50, 2]"), ("bayes:1", b'{"a": null}')):
        row = msgspec.msgpack.encode((given, b'{"b": [1]}'))
        redis_client().rpush(input_sample_key(application.pk, arm), row)
    expected = [
        {"version": "bayes:1", "input": {"a": None}, "output": {"b": [1]}},
        {"version": "svm:1", "input": [1.5, 2], "output": {"b": [1]}},
    ]
    (page,) = pages("?kind=predictions")
    assert page["rows"] == expected
    (page,) = pages("?kind=predictions&version=svm:1")
    assert page["rows"] == expected[1:]


def test_without_kept_inputs_there_are_no_predictions(digits: Application) -> None:
    refused = answer("?kind=predictions")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "keep_inputs" in refused.json()["error"]
