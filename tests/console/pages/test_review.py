"""Review shows captured inputs, whatever one of them holds; a label is kept and made feedback."""

import json
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone
from msgspec import Raw

from registry.models import Application
from selection.models import Feedback
from serving.capture.models import CapturedBody, CapturedInput, CapturedSegment
from tests.console.people import staff

PAGE = "/admin/applications/digits/review/"
pytestmark = pytest.mark.usefixtures("server_redis")


def captured(application: Application, input: bytes = b"[1]", **changes: Any) -> CapturedInput:
    number = CapturedInput.objects.count()
    body = CapturedBody(input=Raw(input), output=Raw(b"7"), outputs={"svm:1": Raw(b"7")})
    fields: dict[str, Any] = {
        "uid": f"0-{number}",
        "at": timezone.now(),
        "query_id": f"receipt-{number}",
        "nonce": f"{number:024x}",
        "chance": 0.25,
        "confidence": 1.0,
        "latency_ms": 3.0,
        "disagreed": False,
        "late": False,
        "failed": False,
        "answer": "7",
        "body": body.packed(),
        "size": 100,
    }
    return CapturedInput.objects.create(application=application, **fields | changes)


def said(application: Application, row: CapturedInput, label: str) -> None:
    now = timezone.now()
    Feedback.objects.create(
        application=application,
        nonce=row.nonce,
        kind="receipt",
        issued_at=now,
        received_at=now,
        label=label,
        arms=[],
    )


def test_each_filter_finds_its_rows(owner: Client, digits: Application) -> None:
    plain = captured(digits, b'"plain"')
    rows = {
        "disagree": captured(digits, disagreed=True),
        "unsure": captured(digits, confidence=0.4),
        "late": captured(digits, late=True),
        "failed": captured(digits, failed=True),
        "default": captured(digits, cause="timed_out"),
        "wrong": captured(digits),
    }
    said(digits, rows["wrong"], "3")
    said(digits, plain, "7")
    for show, row in rows.items():
        found = owner.get(PAGE, {"show": show}).context["rows"]
        assert [one["row"].pk for one in found] == [row.pk], show
    assert len(owner.get(PAGE, {"show": "sampled"}).context["rows"]) == 7
    assert owner.get(PAGE).context["shown"] == "disagree"
    assert owner.get(PAGE, {"context": "anna"}).context["rows"] == []


def test_an_answer_of_one_character_has_it_for_its_key(owner: Client, digits: Application) -> None:
    for answer in ("1", "-1", "12", "3"):
        captured(digits, answer=answer)
    captured(digits, answer="0", cause="timed_out")
    choices = owner.get(PAGE).context["choices"]
    assert [(each["label"], each["key"]) for each in choices] == [
        *(("1", "1"), ("3", "3"), ("-1", ""), ("12", "4")),
    ]


@pytest.mark.parametrize(
    ("input", "kind"),
    [
        (json.dumps([0, 16] * 32).encode(), "picture"),
        (json.dumps([0.5] * 784).encode(), "picture"),
        (b'{"age": 31, "city": "Rome"}', "columns"),
        (b'"a <b>text</b>"', "text"),
        (b"[1e999]", "text"),
        (b"[" + b"1e999," * 63 + b"1]", "text"),
        (b"\xff[", "text"),
    ],
)
def test_an_input_is_drawn_by_its_kind(
    owner: Client, digits: Application, input: bytes, kind: str
) -> None:
    captured(digits, b"[1]")
    captured(digits, input)
    captured(digits, body=b"broken")
    answer = owner.get(PAGE)
    kinds = [one["input"]["kind"] for one in answer.context["rows"]]
    assert kinds[0] == "unreadable"
    assert kinds[1] in (kind, "unreadable")
    assert kinds[2] == "text"
    assert b"<b>text" not in answer.content


def test_a_label_is_kept_and_sent_as_feedback_with_its_chance(
    owner: Client, digits: Application
) -> None:
    row = captured(digits)
    for _ in range(2):
        answer = owner.post(f"{PAGE}label/", {"id": row.pk, "label": '"cat"'}).json()
        assert json.loads(answer["feedback"]) == {
            "query_id": row.query_id,
            "label": "cat",
            "metrics": {"sampling_chance": 0.25},
        }
    row.refresh_from_db()
    assert (row.label, row.reviewed_by) == ('"cat"', "owner")
    assert owner.get(PAGE).context["rows"] == []


def test_a_label_after_the_window_or_without_an_answer_is_for_training_only(
    owner: Client, digits: Application
) -> None:
    late = captured(digits, at=timezone.now() - timedelta(days=2))
    failed = captured(digits, query_id="", answer="")
    assert b"feedback window is over" in owner.get(PAGE).content
    for row in (late, failed):
        answer = owner.post(f"{PAGE}label/", {"id": row.pk, "label": "3"}).json()
        assert answer == {"said": "Kept for training only."}
    assert owner.post(f"{PAGE}label/", {"id": late.pk, "label": ""}).json() == {"said": "Noted."}


@pytest.mark.parametrize("label", ["cat", "[1e999]", "1" * 20_000, '"\0"', "[" * 5000])
def test_a_label_that_is_no_json_is_refused(owner: Client, digits: Application, label: str) -> None:
    row = captured(digits)
    assert owner.post(f"{PAGE}label/", {"id": row.pk, "label": label}).status_code == 400


def test_labels_are_exported_for_training(owner: Client, digits: Application) -> None:
    captured(digits, b'{"a": 1}', label="3", context="=1+1")
    said(digits, captured(digits, b"[2]"), "7")
    captured(digits, body=b"broken", label="1")
    captured(digits, b"[3]")
    lines = b"".join(owner.get(f"{PAGE}export/?format=jsonl")).decode().splitlines()
    first, second = map(json.loads, lines)
    assert (first["input"], first["label"], first["answer"]) == ({"a": 1}, 3, 7)
    assert (second["input"], second["label"], second["chance"]) == ([2], 7, 0.25)
    rows = b"".join(owner.get(f"{PAGE}export/?format=csv")).decode().splitlines()
    assert len(rows) == 3
    assert "'=1+1" in rows[1]


def test_inputs_are_for_those_who_may_see_them(digits: Application) -> None:
    row = captured(digits, b'"secret"')
    viewer = staff("view_application")
    answer = viewer.get(PAGE)
    assert b"secret" not in answer.content
    assert b"ask" in answer.content.lower()
    assert b"secret" not in viewer.get(f"/admin/applications/digits/try/?captured={row.pk}").content
    assert viewer.get(f"{PAGE}export/").status_code == 403
    assert viewer.post(f"{PAGE}label/", {"id": row.pk, "label": "1"}).status_code == 403


def test_another_applications_row_is_gone(
    owner: Client, digits: Application, server_redis: redis.Redis
) -> None:
    other = Application.objects.create(name="other", input_type="doubles")
    row = captured(other)
    assert owner.post(f"{PAGE}label/", {"id": row.pk, "label": "1"}).status_code == 404
    broken = captured(digits, body=b"broken")
    for number in (row.pk, broken.pk):
        answer = owner.get(f"/admin/applications/digits/try/?captured={number}")
        assert answer.status_code == 200


def test_filtered_rows_are_kept_as_a_set(digits: Application) -> None:
    captured(digits, disagreed=True)
    captured(digits)
    ada = staff("view_application", "view_capturedinput", "change_capturedinput")
    kept = {"set": "golden", "show": "disagree", "period": "7d"}
    assert ada.post(f"{PAGE}keep/", kept).status_code == 302
    assert CapturedInput.objects.filter(set_name="golden").count() == 1
    page = ada.get(PAGE).content.decode()
    assert "golden</b> (1 row)" in page
    bea = staff("view_application", "view_capturedinput", name="bea")
    assert bea.post(f"{PAGE}keep/").status_code == 403


def test_a_row_that_cannot_be_read_says_why(owner: Client, digits: Application) -> None:
    segment = CapturedSegment.objects.create(digest="ab" * 32, size=1, rows=1)
    captured(digits, body=b"", segment=segment)
    captured(digits, b'"legible"')
    shown = owner.get(PAGE, {"show": "sampled"}).content.decode()
    assert "its file is missing" in shown
    assert "legible" in shown
