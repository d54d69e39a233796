"""The console's page on how an application's selection goes, drawn from snapshots."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from registry import services
from registry.models import Application
from selection.evaluation.logged import AnswerRule, LoggedArm, LoggedQuery
from selection.evaluation.monitoring.reward_sums import Trust, tally
from selection.models import SelectionSnapshot
from selection.rewards.losses import make_loss
from tests.browser.conftest import SignIn

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
    return page.locator(f"[data-testid=monitored-arm][data-key='{arm}']")


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
    page.goto("/admin/applications/digits/monitoring/")

    svm, forest = row(page, "svm:1"), row(page, "forest:1")
    expect(svm.locator("[data-text=weight]")).to_have_text("75 %")
    expect(svm.locator("[data-text=share]")).to_have_text("50 %")
    expect(svm.locator("[data-text=in_time]")).to_have_text("90 %")
    expect(svm.locator("[data-text=late]")).to_have_text("10")
    expect(svm).to_have_attribute("data-state", "late")
    expect(svm.locator("[data-text=reward]")).to_have_text("60.0 %")
    expect(forest).to_have_attribute("data-state", "good")
    expect(page.get_by_test_id("recommendation")).to_have_text(
        "forest:1 is the best, 97 % sure. It took 800 rewards."
    )
    expect(page.get_by_test_id("earned")).to_have_text("60.0 %")
    expect(page.get_by_test_id("monitoring")).to_contain_text("counts as a loss of 0.8")


def test_it_follows_what_is_written_down(sign_in: SignIn, owner: User, digits: Application) -> None:
    page = sign_in(owner)
    page.goto("/admin/applications/digits/monitoring/?period=15m")
    expect(page.get_by_test_id("arms")).to_contain_text("Arm")
    expect(page.get_by_test_id("monitored-arm")).to_have_count(0)
    # One sentence says it of all checks.
    health = page.get_by_test_id("experiment-health")
    expect(health.locator(":scope > *:visible")).to_have_count(0)
    said = health.evaluate("rows => getComputedStyle(rows, '::before').content")
    assert said.startswith('"Nobody has looked yet: ')

    happened(digits, minutes_ago=1, weights={"svm:1": 1.0}, counts={"svm:1": [7, 7, 0, 0]})
    # Whoever comes back to the page doesn't wait for its next look.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(row(page, "svm:1").locator("[data-text=asked]")).to_have_text("7")
    drawn = "Chart.getChart(document.querySelector('[data-chart=weight]')).data.datasets.length"
    assert page.evaluate(drawn) == 1
