"""The tab on an application's experiment: its versions, and what others would have earned."""

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect
from pytest_django.fixtures import Settings

from registry import services
from registry.models import Application
from selection.evaluation.logged import AnswerRule, LoggedArm, LoggedQuery
from selection.evaluation.monitoring.reward_sums import Trust, tally
from selection.models import SelectionSnapshot
from selection.rewards.losses import make_loss
from tests.browser.conftest import SignIn
from tests.selection.evaluation.offpolicy.logs import logged_by
from tests.selection.evaluation.what_if.conftest import ARMS, keep, make_application

pytestmark = pytest.mark.browser


@pytest.fixture
def digits(transactional_db: None) -> Application:
    return services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50,
        policy="exp4",
        missing_loss=0.8,
        by=services.SYSTEM,
    )


def happened(
    application: Application,
    *,
    minutes_ago: float,
    weights: dict[str, float],
    counts: dict[str, list[int]],
    right: Sequence[dict[str, bool]] = (),
    recommendation: dict[str, Any] | None = None,
) -> None:
    """Let a snapshot tell of ten seconds in which arms were trusted, asked and judged like this.

    `counts` are [asked, answered, late, failed], `right` says of each feedback who was right.
    """
    at = timezone.now() - timedelta(minutes=minutes_ago)
    told = [
        LoggedQuery(
            asked=tuple(
                LoggedArm(arm, 1.0, b"%d" % ok, float(not ok), float(ok)) for arm, ok in one.items()
            ),
            label=b"1",
            routed=tuple(one),
        )
        for one in right
    ]
    trust = Trust(weights=weights, probabilities=dict.fromkeys(weights, 1.0))
    earned, rewards = tally(told, trust=trust, rule=AnswerRule(loss=make_loss()))
    SelectionSnapshot.objects.create(
        application=application,
        since=at - timedelta(seconds=10),
        at=at,
        step_s=10,
        policy="exp4",
        arms={
            arm: {"weight": weight, "probability": 1.0, "reward": None}
            for arm, weight in weights.items()
        },
        counts=counts,
        earned=earned,
        rewards=rewards,
        recommendation=recommendation,
    )


def row(page: Page, arm: str) -> Any:
    return page.locator(f"[data-testid=version][data-key='{arm}']")


def test_the_arms_are_told_of_with_what_they_did_and_what_they_earned(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    happened(
        digits,
        minutes_ago=5,
        weights={"svm:1": 0.75, "forest:1": 0.25},
        counts={"svm:1": [100, 90, 10, 0], "forest:1": [100, 100, 0, 0]},
        right=[{"svm:1": n < 24, "forest:1": True} for n in range(40)] * 10,
        recommendation={
            "arm": "forest:1",
            "state": "best",
            "confidence": 0.974,
            "since": None,
            "labels": 800,
        },
    )
    page = sign_in(owner)
    page.goto("/admin/applications/digits/experiment/")

    svm, forest = row(page, "svm:1"), row(page, "forest:1")
    expect(svm).to_have_attribute("data-state", "late")
    for words in ("75 %", "50 %", "90 %", "60.0 %"):
        expect(svm).to_contain_text(words)
    expect(forest).to_have_attribute("data-state", "good")
    expect(page.get_by_test_id("verdict")).to_contain_text(
        "forest:1 is the best version, 97 % sure"
    )
    expect(page.get_by_test_id("tile").first).to_contain_text("60.0 %")
    expect(page.get_by_test_id("experiment")).to_contain_text("counts as a loss of 0.8")


def test_it_follows_what_is_written_down(sign_in: SignIn, owner: User, digits: Application) -> None:
    page = sign_in(owner)
    page.goto("/admin/applications/digits/experiment/?period=15m")
    expect(page.get_by_test_id("versions")).to_contain_text("Version")
    expect(page.get_by_test_id("version")).to_have_count(0)

    happened(digits, minutes_ago=1, weights={"svm:1": 1.0}, counts={"svm:1": [7, 7, 0, 0]})

    expect(row(page, "svm:1")).to_contain_text("7", timeout=30_000)


@pytest.fixture
def asked(transactional_db: None, settings: Settings, tmp_path: Path) -> Application:
    """An application whose Exp3 has asked and learned for a while."""
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    application = make_application()
    accuracies = dict(zip(ARMS, (0.92, 0.85, 0.7), strict=True))
    log = logged_by("exp3", accuracies=accuracies, queries=1500, seed=4, floor=0.3)
    keep(application, log.queries)
    return application


def target(page: Page, name: str) -> Locator:
    return page.get_by_test_id("estimate").filter(has=page.get_by_role("rowheader", name=name))


def test_the_others_are_listed_and_one_more_is_asked_for(
    sign_in: SignIn, owner: User, asked: Application
) -> None:
    page = sign_in(owner)
    page.goto("/admin/applications/digits/experiment/")

    expect(page.get_by_test_id("labels")).to_have_text("1,500", timeout=30_000)  # worked out anew
    svm = target(page, "svm:1 alone")
    expect(svm.locator(".clp-badge")).to_have_text("yes")
    expect(svm).to_contain_text("doubly robust")
    expect(target(page, "bayes:1 alone").locator(".clp-badge")).to_have_text("not yet")
    expect(page.get_by_test_id("verdict")).to_contain_text(re.compile(r"would earn \d"))
    expect(page.get_by_test_id("apply")).to_be_visible()

    page.get_by_test_id("policy").select_option("epsilon_greedy")
    page.get_by_test_id("params").fill('{"epsilon": 0.2}')
    page.get_by_test_id("rows").fill("300")
    page.get_by_test_id("compare").click()

    expect(page.get_by_test_id("labels")).to_have_text("300")
    expect(target(page, "epsilon_greedy (epsilon 0.2)")).to_have_attribute("aria-current", "true")
