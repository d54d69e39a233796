"""The console's what-if page: what others would have earned, drawn, listed and asked for."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from playwright.sync_api import Locator, Page, expect
from pytest_django.fixtures import Settings

from registry.models import Application
from selection.evaluation.offpolicy.log import Log
from tests.browser.conftest import SignIn
from tests.selection.evaluation.offpolicy.logs import logged_by
from tests.selection.evaluation.what_if.conftest import ARMS, keep, make_application

pytestmark = pytest.mark.browser

ACCURACIES = dict(zip(ARMS, (0.92, 0.85, 0.7), strict=True))
URL = "/admin/applications/digits/what-if/"


@pytest.fixture(scope="module")
def log() -> Log:
    return logged_by("exp3", accuracies=ACCURACIES, queries=1500, seed=4, floor=0.3)


@pytest.fixture
def untold(transactional_db: None, settings: Settings, tmp_path: Path) -> Application:
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"
    return make_application()


@pytest.fixture
def digits(untold: Application, log: Log) -> Application:
    """An application whose Exp3 has asked and learned for a while."""
    keep(untold, log.queries[:400])
    return untold


def row(page: Page, name: str) -> Locator:
    return page.get_by_test_id("estimate").filter(has=page.get_by_role("rowheader", name=name))


def test_every_arm_and_the_policies_are_listed_and_drawn(
    sign_in: SignIn, owner: User, untold: Application, log: Log
) -> None:
    keep(untold, log)
    page = sign_in(owner)
    page.goto(URL)

    expect(page.get_by_test_id("feedback")).to_have_text("1,500")
    names = page.get_by_test_id("estimate").locator("th").all_inner_texts()
    assert names == [
        *(f"{arm} alone" for arm in ARMS),
        *("every arm alike", "static: by route weight", "exp3"),
    ]
    expect(page.get_by_test_id("earned")).to_have_text(re.compile(r"8\d\.\d %"))
    svm = row(page, "svm:1 alone")
    expect(svm).to_contain_text(re.compile(r"9\d\.\d %"))
    expect(svm.locator(".clp-badge")).to_have_text("yes")
    expect(svm).to_contain_text("doubly robust")
    expect(row(page, "bayes:1 alone").locator(".clp-badge")).to_have_text("can't say yet")
    expect(page.get_by_test_id("best")).to_have_text(re.compile(r"^\+\d"))
    # The chart's script has drawn a mark for each of them.
    expect(page.get_by_test_id("chart")).to_have_attribute("data-drawn", "6")


def test_a_policy_is_chosen_with_its_parameters_and_its_feedback(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    page = sign_in(owner)
    page.goto(URL)
    page.get_by_test_id("policy").select_option("epsilon_greedy")
    page.get_by_test_id("params").fill('{"epsilon": 0.2}')
    page.get_by_test_id("rows").fill("300")
    page.get_by_test_id("compare").click()

    expect(page.get_by_test_id("feedback")).to_have_text("300")
    chosen = row(page, "epsilon_greedy (epsilon 0.2)")
    expect(chosen).to_have_attribute("aria-current", "true")
    expect(chosen).to_contain_text("learned from")
    expect(page.get_by_test_id("params")).to_have_value('{"epsilon": 0.2}')
    # The address holds all of it: it can be kept and passed on.
    assert "policy=epsilon_greedy" in page.url
    first_row = "labels => labels.slice(0, 3).map(label => label.getBoundingClientRect().top)"
    tops = page.get_by_test_id("form").locator("label").evaluate_all(first_row)
    assert len(tops) == 3
    assert len(set(tops)) == 1


def test_without_feedback_it_says_that_nothing_is_known(
    sign_in: SignIn, owner: User, digits: Application
) -> None:
    page = sign_in(owner)
    page.goto(f"{URL}?context=nobody")

    expect(page.get_by_test_id("feedback")).to_have_text("0")
    expect(page.get_by_text("none in this period")).to_be_visible()
    expect(row(page, "svm:1 alone").locator(".clp-badge")).to_have_text("can't say")
    expect(page.get_by_test_id("chart")).to_have_count(0)


def test_feedback_is_shown_to_those_who_may_see_it(
    sign_in: SignIn, viewer: User, digits: Application
) -> None:
    viewer.user_permissions.remove(Permission.objects.get(codename="view_feedback"))
    page = sign_in(viewer)

    answer = page.request.get(URL)
    assert answer.status == 403
    viewer.user_permissions.add(Permission.objects.get(codename="view_feedback"))
    assert page.request.get(URL).status == 200
