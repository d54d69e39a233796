"""A search over a policy's parameters: chosen on the earlier part, judged on the later one."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import BadRequest
from registry.models import Application
from selection.evaluation.offpolicy.difference import difference
from selection.evaluation.offpolicy.estimate import Proposal
from selection.evaluation.offpolicy.evidence import evidence_of
from selection.evaluation.what_if.search import MOST_TRIED, search, variations
from selection.evaluation.what_if.targets import WhatIfTarget
from selection.evaluation.what_if.window import Span
from tests.selection.offpolicy.logs import asked, logged_by
from tests.selection.what_if.conftest import ARMS, keep
from tests.selection.what_if.test_api import post

ACCURACIES = dict(zip(ARMS, (0.92, 0.85, 0.3), strict=True))


def test_parameters_are_chosen_on_the_earlier_part_and_judged_on_the_later(
    digits: Application,
) -> None:
    """In the later part the arms change places: what was best before isn't any more."""
    changed = dict(zip(ARMS, (0.1, 0.1, 0.9), strict=True))
    keep(digits, logged_by("static", accuracies=ACCURACIES, queries=300, seed=1))
    keep(digits, logged_by("static", accuracies=changed, queries=200, seed=2))
    found = search(digits, policy="epsilon_greedy", span=Span())
    assert (found.chosen_on, found.judged_on, found.left_out) == (300, 200, 0)
    assert 5 < len(found.tried) <= MOST_TRIED
    lows = [tried.estimate.low for tried in found.tried]
    assert lows == sorted(lows, reverse=True)
    assert found.chosen is not None
    assert found.current is not None
    assert found.chosen.target.params == found.tried[0].params
    # Greedy looked best, and isn't: the later part says so.
    assert found.tried[0].params["epsilon"] < 0.1
    assert found.tried[0].estimate.reward > 0.7
    assert found.chosen.estimate.best.reward < 0.6
    assert found.current.target.policy == "exp3"


def test_what_is_tried_begins_with_what_there_is_and_stays_in_its_range() -> None:
    base = WhatIfTarget(policy="ucb1", params={"floor": 0.5}, learning=True)
    tried = list(variations(base))
    assert tried[0]["floor"] == 0.5
    assert {1.0, 0.125, 0.0, 0.5} >= {params["floor"] for params in tried} > {0.5}
    assert all(params.keys() == tried[0].keys() for params in tried)


def test_a_difference_is_that_of_the_two_rewards() -> None:
    log = logged_by("static", accuracies=ACCURACIES, queries=4000, seed=3)
    best, worst = (Proposal(chances=np.eye(3)[[k]]) for k in (0, 2))
    found = difference(evidence_of(log), best, worst)
    assert found.low < 0.62 < found.high
    assert found.low > 0.5
    assert difference(evidence_of(log), best, best) == (0.0, 0.0, 0.0)


def test_little_time_leaves_parameters_out(digits: Application) -> None:
    keep(digits, logged_by("static", accuracies=ACCURACIES, queries=400, seed=1))
    ticks = iter(range(10_000))
    found = search(
        digits, policy="exp3", span=Span(), time_limit_s=70, clock=lambda: float(next(ticks))
    )
    assert found.left_out > 0
    with pytest.raises(BadRequest, match="none was judged in time; ask for fewer"):
        search(digits, policy="exp3", span=Span(), time_limit_s=0.0)


def test_it_is_asked_over_the_api(digits: Application) -> None:
    keep(digits, logged_by("static", accuracies=ACCURACIES, queries=250, seed=1))
    body = post({"policy": "exp3", "rows": 220}, path="digits/what-if/search").json()
    assert (body["policy"], body["chosen_on"], body["judged_on"]) == ("exp3", 132, 88)
    assert body["chosen"]["params"] == body["tried"][0]["params"]
    assert body["current"]["name"] == "exp3, learning"
    assert body["conclusion"].startswith("can't say yet")


def test_too_little_feedback_chooses_nothing(digits: Application) -> None:
    keep(digits, [asked({"svm:1": 1.0})] * 3)
    body = post({"policy": "exp3"}, path="digits/what-if/search").json()
    assert (body["chosen"], body["tried"], body["gain"]) == (None, [], None)
    assert body["conclusion"].endswith("it takes 200 pieces of feedback, there are 3")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"policy": "static"}, "policy: expected one that learns ("),
        ({"policy": "luck"}, "policy: expected one that learns ("),
        ({}, "policy"),
    ],
)
def test_what_it_cannot_search_is_refused(
    digits: Application, body: dict[str, str], message: str
) -> None:
    keep(digits, [asked({"svm:1": 1.0})] * 3)
    answer = post(body, path="digits/what-if/search")
    assert answer.status_code == 400
    assert message in answer.json()["error"]
