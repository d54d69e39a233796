"""Access to an application's experiment, its versions in words, and the fate of snapshots."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from console.pages.experiment import holdout_words, version_shown
from registry import services
from registry.models import Application
from selection.models import SelectionSnapshot
from tests.console.people import staff

PAGE = "/admin/applications/digits/experiment/"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def digits() -> Application:
    return services.create_application(
        name="digits", input_type="doubles", slo_ms=50, by=services.SYSTEM
    )


def test_it_is_for_staff_who_may_view_applications(digits: Application) -> None:
    allowed = staff("view_application")

    assert allowed.get(PAGE).status_code == 200
    assert allowed.get(f"{PAGE}?period=eternity&part=now").status_code == 200
    assert allowed.get("/admin/applications/nothing/experiment/").status_code == 404


def test_others_are_refused(digits: Application) -> None:
    assert Client().get(PAGE)["Location"] == f"/admin/login/?next={PAGE}"
    assert staff().get(PAGE).status_code == 403


def test_feedback_is_looked_at_for_those_who_may_see_it(digits: Application) -> None:
    client = staff("view_application")
    blind = client.get(f"{PAGE}?part=outlook").content.decode()
    seen_by = User.objects.get(username="clerk")
    seen_by.user_permissions.add(Permission.objects.get(codename="view_feedback"))
    seeing = client.get(f"{PAGE}?part=outlook").content.decode()

    assert "estimates" not in blind
    assert "estimates" in seeing


def test_a_held_out_share_is_compared_in_words() -> None:
    gain = {"value": -0.101, "low": -0.2, "high": -0.002}

    assert holdout_words({"gain": gain}) == (
        "10.1 points less than held-out keys (\N{MINUS SIGN}20.0 to \N{MINUS SIGN}0.2)"
    )
    assert holdout_words({"gain": None}) == "too few people to compare with held-out keys"
    assert holdout_words(None) == ""


def arm_of(*, answered: int, late: int = 0, failed: int = 0, refused: int = 0) -> dict[str, Any]:
    """An arm of the history, asked as often as it says how."""
    asked = answered + late + failed + refused
    ended = {"asked": asked, "answered": answered, "late": late, "failed": failed}
    known = {"weight": 1.0, "probability": 1.0, "share": 1.0, "mean_reward": None}
    known |= {"reward": None}
    named = {"model": "svm", "version": "1", "routed": True, "feedback": 0}
    return {**named, **known, **ended, "refused": refused}


@pytest.mark.parametrize(
    ("arm", "state", "in_time"),
    [
        (arm_of(answered=99, late=1), "good", "99 %"),
        (arm_of(answered=98, late=1, failed=1), "late", "98 %"),
        (arm_of(answered=20, refused=80), "good", "100 %"),
        (arm_of(answered=0, refused=80), "good", "—"),
        # So many refused ones hide no failure either.
        (arm_of(answered=9, failed=1, refused=990), "late", "90 %"),
        (arm_of(answered=0), "good", "—"),
    ],
)
def test_an_arm_stands_as_it_did_with_what_it_did_not_refuse(
    arm: dict[str, Any], state: str, in_time: str
) -> None:
    shown = version_shown(arm, tolerated=0.01)
    assert (shown["state"], shown["in_time"]) == (state, in_time)
    assert shown["refused"] == str(arm["refused"])


def test_snapshots_go_with_their_application_without_being_listed_one_by_one(
    digits: Application,
) -> None:
    SelectionSnapshot.objects.bulk_create(
        SelectionSnapshot(
            application=digits,
            since=NOON,
            at=NOON + timedelta(seconds=n),
            step_s=10,
            policy="exp4",
            arms={},
            counts={},
            earned=[0, 0, 0],
            rewards={},
        )
        for n in range(100)
    )
    client = staff("view_application", "delete_application")
    url = f"/admin/registry/application/{digits.pk}/delete/"

    page = client.get(url).content.decode()
    client.post(url, {"post": "yes"})

    # Its objective is the first of twenty.
    assert page.count("digits at 2026-01-31") == 19
    assert "and 81 more" in page
    assert not SelectionSnapshot.objects.exists()
