"""Versions side by side, on a page and over REST."""

import msgspec
import pytest
from django.test import Client

from registry import services
from registry.models import Application, ModelVersion
from serving.capture.models import TrafficReplay
from serving.capture.replay_sums import ReplaySums
from tests.console.admin.test_deploying import learned
from tests.console.people import staff
from tests.registry.conftest import BY, Api, make_key

PAGE, API = "/admin/versions/compare/", "models/svm/compare"


def test_the_page_says_which_is_better_and_only_what_differs(
    owner: Client, digits: Application, v1: ModelVersion, v2: ModelVersion
) -> None:
    services.configure_version(version=v2, by=BY, threads=4)
    learned(digits)

    page = owner.get(PAGE, {"v": ["svm:1", "svm:2"]}).content.decode()

    assert "svm:2 is better in digits" in page
    assert "Threads" in page
    assert "Memory limit" not in page
    assert "Start a rollout of svm:2" in page


def test_rest_has_the_same_numbers(digits: Application, v2: ModelVersion) -> None:
    services.configure_version(version=v2, by=BY, threads=4)
    learned(digits)

    found = Api(key=make_key(scopes=("read",)))("get", f"{API}?v=1&v=svm:2").json()

    assert (found["best"], found["best_in"], found["differences"]) == (
        "2",
        "digits",
        {"threads": [1, 4]},
    )
    reward = {"application": "digits", "labels": 100, "mean": 0.9, "low": 0.88, "high": 0.92}
    assert found["versions"][0]["rewards"] == [reward]
    assert found["versions"][0]["check"] == "pending"


def test_a_bound_key_sees_rewards_of_its_own_applications_alone(
    bound_manager: Api, digits: Application, v2: ModelVersion
) -> None:
    other = services.create_application(
        name="other",
        input_type="doubles",
        slo_ms=50.0,
        routes=[services.RouteRequest(model="svm")],
        by=services.SYSTEM,
    )
    learned(digits)
    learned(other)

    found = bound_manager("get", f"{API}?v=1&v=2").json()

    assert {r["application"] for one in found["versions"] for r in one["rewards"]} == {"digits"}


@pytest.mark.parametrize("names", [["1"], ["1", "1"], ["1", "2", "3", "4", "5"], []])
def test_fewer_than_two_and_more_than_four_are_refused(
    manager: Api, owner: Client, v1: ModelVersion, names: list[str]
) -> None:
    refused = manager("get", f"{API}?{'&'.join(f'v={name}' for name in names)}")
    assert (refused.status_code, "Expected 2 to 4" in refused.json()["error"]) == (400, True)
    assert owner.get(PAGE, {"v": [f"svm:{name}" for name in names]}).status_code == 302


def test_an_unknown_version_is_not_found(manager: Api, v1: ModelVersion) -> None:
    assert manager("get", f"{API}?v=1&v=9").status_code == 404


def test_the_page_needs_the_permission(v1: ModelVersion) -> None:
    assert staff().get(PAGE, {"v": ["svm:1", "svm:2"]}).status_code == 403


def test_a_replay_says_which_is_better_and_shows_its_answers(
    owner: Client, digits: Application, v1: ModelVersion, v2: ModelVersion
) -> None:
    matrix = {"0": {"0": 70}, "1": {"0": 30, "1": 100}}
    sums = ReplaySums(answered=200, live=[200, 30], labels=200, lost=30.0, matrix=matrix)
    TrafficReplay.objects.create(
        application=digits, version=v2, state="done", last_row=9, total=200, by="ada",
        sums=msgspec.to_builtins(sums, str_keys=True),
    )  # fmt: skip

    page = owner.get(PAGE, {"v": ["svm:1", "svm:2"]}).content.decode()

    assert "svm:2 is worse than the live version by captured queries of digits" in page
    assert "85.0 % as the live version" in page
    assert 'data-testid="matrix"' in page
    found = Api(key=make_key(scopes=("read",)))("get", f"{API}?v=1&v=2").json()["versions"][1]
    assert found["replay"]["matrix"] == matrix
