"""Captured queries are exported with their chances and with what was said of them."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from msgspec import Raw

from registry import services
from registry.models import Application
from selection.models import Feedback
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from serving.capture.models import CapturedBody, CapturedInput
from tests.registry.conftest import BY

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
PATH = "/api/v1/applications/digits/export?kind=joined"


@pytest.fixture
def digits() -> Application:
    return Application.objects.create(name="digits", input_type="doubles")


def captured(
    digits: Application, number: int, chances: dict[str, float], **other: Any
) -> CapturedInput:
    arms = tuple(ArmRecord(arm, chance, b"7") for arm, chance in chances.items())
    receipt = Receipt(b"%012d" % number, 1, digits.pk, "", arms)
    outputs = dict.fromkeys(chances, Raw(b"7"))
    body = CapturedBody(input=Raw(b"[1, 2]"), output=Raw(b"7"), outputs=outputs)
    fields = {
        "uid": str(number),
        "at": NOON + timedelta(seconds=number // 2),
        "query_id": ReceiptSigner(b"secret").sign(receipt) if chances else "",
        "nonce": receipt.nonce.hex() if chances else "",
        **{"chance": 0.5, "confidence": 1.0, "latency_ms": 2.0, "size": 1},
        **dict.fromkeys(("disagreed", "late", "failed"), False),
        "body": body.packed(),
    }
    return CapturedInput.objects.create(application=digits, **fields | other)


def said(row: CapturedInput, **what: Any) -> None:
    moments = {"issued_at": row.at, "received_at": row.at + timedelta(hours=1)}
    fields = {"kind": "receipt", "nonce": row.nonce, "arms": [], **moments}
    Feedback.objects.create(application=row.application, **fields | what)


def answer(query: str = "", *, accept: str = "application/json") -> Any:
    _, key = services.create_api_key(name="a key", scopes=("manage",), by=BY)
    path = query if query.startswith("/") else PATH + query
    return Client().get(path, headers={"Authorization": f"Api-Key {key}", "Accept": accept})


def test_a_row_has_the_input_the_choice_and_the_label(digits: Application) -> None:
    row = captured(digits, 0, {"svm:1": 0.25}, context="ann", key="k1")
    said(row, label="3")
    found = answer().json()
    assert list(found["rows"][0]) == found["columns"]
    assert found["rows"] == [
        {
            "query": row.nonce,
            "asked_at": "2026-01-31T12:00:00Z",
            "received_at": "2026-01-31T13:00:00Z",
            "context": "ann",
            "key": "k1",
            "version": "svm:1",
            "propensity": 0.25,
            "propensities": {"svm:1": 0.25},
            "chance": 0.5,
            "input": [1, 2],
            "output": 7,
            "outputs": {"svm:1": 7},
            "cause": "",
            "label": 3,
            "reward": None,
        }
    ]
    (line,) = csv.DictReader(io.StringIO(answer(accept="text/csv").content.decode(), newline=""))
    assert (line["input"], line["propensities"], line["reward"]) == ("[1,2]", '{"svm:1":0.25}', "")


def test_what_is_missing_is_null_and_what_cannot_be_read_left_out(digits: Application) -> None:
    captured(digits, 0, {"svm:1": 1.0, "bayes:1": 1.0}, label="5")
    captured(digits, 1, {})
    captured(digits, 2, {"svm:1": 1.0}, body=b"broken")
    said(captured(digits, 3, {"svm:1": 1.0}), reward=0.5)
    several, none, one = answer().json()["rows"]
    assert (several["version"], several["propensity"], several["label"]) == (None, None, 5)
    assert several["propensities"] == {"svm:1": 1.0, "bayes:1": 1.0}
    assert (none["query"], none["propensities"], none["label"]) == ("", {}, None)
    assert (one["label"], one["reward"]) == (None, 0.5)
    assert len(answer("&version=bayes:1").json()["rows"]) == 1


def test_pages_go_on_where_the_last_one_ended(digits: Application) -> None:
    rows = [captured(digits, number, {"svm:1": 1.0}) for number in range(7)]
    found, page = [], answer("&limit=3")
    while True:
        found += [row["query"] for row in page.json()["rows"]]
        if (link := page.headers.get("Link")) is None:
            break
        page = answer(link[1 : link.index(">")])
    assert found == [row.nonce for row in rows]
    lately = answer("&since=2026-01-31T12:00:02Z&until=2026-01-31T12:00:03Z").json()["rows"]
    assert [row["query"] for row in lately] == [rows[4].nonce, rows[5].nonce]


def test_people_need_to_be_allowed_to_see_captured_queries(digits: Application) -> None:
    user = User.objects.create_user("grace", is_staff=True)
    for name in ("view_application", "view_feedback"):
        user.user_permissions.add(Permission.objects.get(codename=name))
    client = Client()
    client.force_login(user)
    assert client.get(PATH.replace("joined", "feedback")).status_code == 200
    refused = client.get(PATH)
    assert refused.status_code == 403
    assert "capture.view_capturedinput" in refused.json()["error"]
    user.user_permissions.add(Permission.objects.get(codename="view_capturedinput"))
    assert client.get(PATH).status_code == 200
