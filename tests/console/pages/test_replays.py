"""Replays are begun on their page, watched, cancelled and resumed, by who may."""

from typing import Any

import msgspec
import pytest
from django.test import Client

from registry import services
from registry.models import Application, AuditEntry, ModelVersion
from serving.capture.models import CapturedInput, TrafficReplay
from serving.capture.replay_sums import ReplayedRow, ReplaySums
from tests.console.pages.test_review import captured
from tests.console.people import staff
from tests.registry.conftest import BY

PAGE = "/admin/models/svm/replays/"
SEE = ("view_modelversion", "view_capturedinput")
pytestmark = pytest.mark.usefixtures("server_redis")


def begun(client: Client, rows: str = "digits:168", version: str = "2") -> Any:
    return client.post(PAGE, {"version": version, "rows": rows})


def act(client: Client, replay: TrafficReplay, action: str) -> Any:
    return client.post(PAGE, {"replay": replay.pk, "action": action}, follow=True)


def test_without_captured_queries_it_says_the_next_step(owner: Client, v2: ModelVersion) -> None:
    page = owner.get(PAGE).content.decode()
    assert "Set a share of queries to capture" in page
    assert "<select" not in page.partition('class="clp-page"')[2]


def test_one_is_begun_cancelled_and_resumed(
    owner: Client, digits: Application, v2: ModelVersion
) -> None:
    captured(digits)
    answer = begun(owner)
    replay = TrafficReplay.objects.get()
    assert answer["Location"] == f"{PAGE}?replay={replay.pk}"
    assert (replay.version, replay.total, replay.state) == (v2, 1, "queued")
    assert replay.since is not None
    page = owner.get(answer["Location"]).content.decode()
    assert 'hx-trigger="every 1s"' in page
    assert "0 of 1 rows" in page

    act(owner, replay, "cancel")
    replay.refresh_from_db()
    assert replay.state == "cancelled"
    page = act(owner, replay, "cancel").content.decode()
    assert "can&#x27;t cancel: it is cancelled" in page
    assert 'hx-trigger="every 1s"' not in page

    act(owner, replay, "resume")
    replay.refresh_from_db()
    assert (replay.state, replay.ended_at, replay.position) == ("queued", None, 0)
    assert AuditEntry.objects.filter(action="check").count() == 3
    assert "Expected cancel or resume" in act(owner, replay, "restart").content.decode()


def test_a_set_is_chosen_by_its_name(owner: Client, digits: Application, v2: ModelVersion) -> None:
    captured(digits)
    captured(digits)
    CapturedInput.objects.filter(pk=captured(digits).pk).update(set_name="golden")
    assert "digits: set golden (1 rows)" in owner.get(PAGE).content.decode()
    begun(owner, "digits:=golden")
    replay = TrafficReplay.objects.get()
    assert (replay.set_name, replay.since, replay.total) == ("golden", None, 1)


def test_what_it_found_is_shown_once_it_has_ended(
    owner: Client, digits: Application, v2: ModelVersion
) -> None:
    row = captured(digits, b"[5]")
    begun(owner)
    sums = ReplaySums()
    told = ReplayedRow(row.pk, b"7", b"7", b"9", "", 0.002, label="7")
    sums.note(told, unlike=lambda outputs: True, loss=lambda label, output: float(label != output))
    told = msgspec.to_builtins(sums, str_keys=True)
    TrafficReplay.objects.update(state="done", done=1, sums=told)
    page = owner.get(PAGE).content.decode()
    for text in ("0.0 % as the live version", "points of reward over 1 labels", "[5]", "<b>9</b>"):
        assert text in page
    assert "Cancel" not in page


def test_who_may_not_begin_one_only_sees(digits: Application, v2: ModelVersion) -> None:
    captured(digits)
    assert staff("view_modelversion", name="nobody").get(PAGE).status_code == 403
    viewer = staff(*SEE)
    assert "permission to add replays" in viewer.get(PAGE).content.decode()
    assert begun(viewer).status_code == 403
    assert begun(staff(*SEE, "add_trafficreplay", name="ida")).status_code == 302
    assert TrafficReplay.objects.count() == 1


@pytest.mark.parametrize(
    ("rows", "version"), [("other:168", "2"), ("digits:168", "9"), ("", ""), ("digits:=gone", "2")]
)
def test_what_is_not_there_begins_nothing(
    owner: Client, digits: Application, v2: ModelVersion, rows: str, version: str
) -> None:
    captured(digits)
    assert begun(owner, rows, version).status_code in (302, 404)
    assert not TrafficReplay.objects.exists()


def test_people_bound_to_an_application_see_and_begin_their_own_alone(
    owner: Client, digits: Application, v2: ModelVersion
) -> None:
    fields: dict[str, Any] = {"input_type": digits.input_type, "slo_ms": 50.0}
    other = services.create_application(name="other", routes=[], by=BY, **fields)
    captured(other)
    captured(digits)
    begun(owner, "other:168")
    person = services.add_person(name="ada", role="deployer", by=BY, applications=[digits])
    mine = Client()
    mine.force_login(person)

    page = mine.get(PAGE).content.decode()
    assert "other" not in page.partition('class="clp-page"')[2]
    assert mine.get(PAGE, {"replay": TrafficReplay.objects.get().pk}).context["row"] is None
    assert begun(mine, "other:168").status_code == 404
    assert act(mine, TrafficReplay.objects.get(), "cancel").status_code == 404
    assert begun(mine).status_code == 302
    assert [each.application for each in TrafficReplay.objects.all()] == [digits, other]
