"""The tab Settings: a change is shown with its effect, and why it is made is asked for."""

import re
from typing import Any

import pytest
from django.db import IntegrityError
from django.test import Client

from registry import services
from registry.models import Application, AuditEntry
from registry.services import RouteRequest
from tests.registry.conftest import go_live
from tests.registry.forms import application_fields

pytestmark = pytest.mark.django_db
PAGE = "/admin/applications/digits/settings/"


@pytest.fixture
def digits(v1: Any) -> Application:
    go_live(v1)
    return services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50,
        policy="exp4",
        routes=[RouteRequest(model="svm")],
        by=services.SYSTEM,
    )


def form(digits: Application, **fields: Any) -> dict[str, Any]:
    route, slo = digits.routes.get(), digits.slo
    rows = {"routes-TOTAL_FORMS": "1", "routes-INITIAL_FORMS": "1", "routes-0-id": route.pk}
    rows |= {"routes-0-application": digits.pk, "routes-0-model": route.model_id}
    rows |= {"routes-0-role": "arm", "routes-0-weight": "1", "slo-INITIAL_FORMS": "1"}
    rows |= {"slo-0-id": slo.pk, "slo-0-application": digits.pk}
    sent = application_fields(policy="exp4", **rows, **fields)
    return {name: value for name, value in sent.items() if name != "policy_params"}


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"policy_params": '{"speed": 1}'}, "has no parameter"),
        ({"policy_params": "[" * 100_000}, "Enter a valid JSON"),
        ({"default_output": "[" * 100_000}, "nested less deeply"),
        ({"slo-TOTAL_FORMS": "0"}, "submit at least 1 form"),
    ],
)
def test_what_is_wrong_is_refused_at_the_field(
    owner: Client, digits: Application, fields: dict[str, str], refusal: str
) -> None:
    assert refusal in owner.post(PAGE, {**form(digits), **fields}).content.decode()
    assert not AuditEntry.objects.of(digits).filter(action="change").exists()


def test_what_somebody_else_saves_at_the_same_moment_is_said(
    owner: Client, digits: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form looks before the other one is there, and the database when it is saved."""

    def met(*_: Any, **__: Any) -> None:
        raise IntegrityError("UNIQUE constraint failed")

    monkeypatch.setattr(Application, "save", met)
    answer = owner.post(PAGE, form(digits, description="ours"), follow=True)
    assert "somebody else changed what this is about" in answer.content.decode()


def test_what_changes_is_reviewed_before_it_is_saved(owner: Client, digits: Application) -> None:
    sent = form(digits, param_eta="0.5", **{"slo-0-latency_ms": "80"})
    page = owner.post(PAGE, sent).content.decode()

    rows = re.findall(r'<th scope="row">(.*?)</th>', page)
    assert rows == ["Policy params", "Latency (ms)"]
    assert "eta 0.5" in page
    digits.refresh_from_db()
    assert digits.policy_params == {}

    assert "Say why" in owner.post(PAGE, {**sent, "confirmed": "1"}).content.decode()
    answer = owner.post(PAGE, {**sent, "confirmed": "1", "reason": "faster"})
    assert answer["Location"] == PAGE
    changed = Application.objects.select_related("slo").get()
    assert (changed.policy_params, changed.slo.latency_ms) == ({"eta": 0.5}, 80.0)
    entry = AuditEntry.objects.of(changed).order_by("id").last()
    assert entry is not None
    assert (entry.reason, entry.changes["policy_params"]) == ("faster", [{}, {"eta": 0.5}])


def test_what_queries_do_not_notice_needs_no_reason(owner: Client, digits: Application) -> None:
    sent = form(digits, description="handwritten digits")
    assert 'name="reason"' not in owner.post(PAGE, sent).content.decode()
    assert owner.post(PAGE, {**sent, "confirmed": "1"}).status_code == 302
    assert Application.objects.get().description == "handwritten digits"


def test_what_changes_nothing_is_not_asked_about(owner: Client, digits: Application) -> None:
    assert owner.post(PAGE, form(digits)).status_code == 302


@pytest.mark.parametrize("value", ["fast", "-1", "99"])
def test_a_parameter_out_of_its_limits_is_refused(
    owner: Client, digits: Application, value: str
) -> None:
    page = owner.post(PAGE, form(digits, param_eta=value)).content.decode()
    assert 'data-testid="errors"' in page


def test_a_proposal_in_the_url_is_a_review_of_it(owner: Client, digits: Application) -> None:
    page = owner.get(f"{PAGE}?policy=exp3&eta=0.4&only=svm:1").content.decode()
    assert re.findall(r'<th scope="row">(.*?)</th>', page) == ["Policy", "Policy params"]
    assert 'name="policy" value="exp3"' in page
    digits.refresh_from_db()
    assert digits.policy == "exp4"


def test_what_somebody_may_only_see_is_not_proposed(digits: Application) -> None:
    from tests.console.people import staff

    page = staff("view_application", "view_route", "view_servicelevelobjective")
    text = page.get(f"{PAGE}?policy=exp3").content.decode()
    assert "Review and save" not in text
