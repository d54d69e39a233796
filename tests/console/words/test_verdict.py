"""Wording of the best version on pages, and pictures of the intervals of all."""

from typing import Any

import pytest

from console.words.verdict import judged, pictured, recommended, verdict_of
from registry.models import Application
from selection.evaluation.offpolicy.estimate import Estimate
from selection.evaluation.offpolicy.intervals import Verdict
from selection.evaluation.what_if.evaluation import Earned, Outlook, Result
from selection.evaluation.what_if.targets import WhatIfTarget
from selection.inference import Interval


def found(state: str, *, confidence: float, since: str | None = None) -> dict[str, Any]:
    named = {"arm": "knn:2", "state": state, "labels": 12_400}
    return {**named, "confidence": confidence, "since": since}


@pytest.mark.parametrize(
    ("state", "confidence", "sentence", "style"),
    [
        ("best", 0.9687, "knn:2 is the best version, 96 % sure", "live"),
        ("best", 0.99996, "knn:2 is the best version, 99.9 % sure", "live"),
        ("undecided", 0.7, "knn:2 leads, but no version is proved to be the best yet", ""),
    ],
)
def test_a_recommendation_is_a_sentence(
    state: str, confidence: float, sentence: str, style: str
) -> None:
    verdict = recommended(found(state, confidence=confidence))

    assert (verdict.sentence, verdict.state) == (sentence, style)


def test_it_never_says_that_it_is_not_sure_at_all() -> None:
    verdict = recommended(found("undecided", confidence=0.0))

    assert verdict.sentence.startswith("Too close to call")
    assert "0 %" not in verdict.sentence


def outlook(**gains: tuple[float, float]) -> Outlook:
    """An outlook with a gain of each version alone, from low to high, that is enough to decide."""
    results = [
        Result(
            target=WhatIfTarget(arm=arm),
            estimate=Estimate(verdict=Verdict.ENOUGH, explanation=""),
            gain=Interval((low + high) / 2, low, high),
            current=False,
        )
        for arm, (low, high) in gains.items()
    ]
    earned = Earned(value=Interval(0.9, 0.88, 0.92), rows=3180, recombined=0)
    known: dict[str, Any] = {"context": None, "rows": 3180, "whole": 0, "more": False}
    known |= {"inputs": False, "others": False, "since": None, "until": None, "seconds": 1.0}
    return Outlook(
        application="digits", policy="exp4", earned=earned, results=tuple(results), **known
    )


def test_a_policy_that_earns_more_than_any_version_alone_is_kept() -> None:
    verdict = judged(
        Application(pk=1, policy="exp4"),
        outlook(knn=(-0.046, -0.01), svm=(-0.3, -0.2)),
        recommendation=None,
    )

    assert verdict is not None
    assert verdict.sentence == "exp4 earns 1.0 to 4.6 points more than any version alone: keep it"
    assert verdict.arm == ""
    assert verdict_of(Application(pk=1, policy="exp4"), None) == verdict


def test_a_version_that_would_earn_more_can_be_applied() -> None:
    verdict = judged(
        Application(pk=2, policy="exp4"),
        outlook(knn=(0.008, 0.021), svm=(-0.3, 0.2)),
        recommendation=None,
    )

    assert verdict is not None
    assert verdict.sentence == "knn alone would earn 0.8 to 2.1 points more"
    assert (verdict.policy, verdict.arm) == ("static", "knn")


def test_gains_that_are_not_proved_leave_the_word_to_the_recommendation() -> None:
    best = found("best", confidence=0.97)
    verdict = judged(
        Application(pk=3, policy="exp4"),
        outlook(knn=(-0.02, 0.01), svm=(-0.3, -0.2)),
        recommendation=best,
    )

    assert verdict is not None
    assert verdict.sentence.startswith("knn:2 is the best version")
    assert (verdict.policy, verdict.arm) == ("static", "knn:2")


def test_intervals_share_one_scale() -> None:
    wide = {"value": 0.6, "low": 0.5, "high": 0.9}
    narrow = {"value": 0.8, "low": 0.7, "high": 0.8}

    assert pictured([wide, None, narrow]) == [
        {"left": 0.0, "width": 100.0, "at": 25.0},
        None,
        {"left": 50.0, "width": 25.0, "at": 75.0},
    ]
    assert pictured([]) == []


def test_a_scale_over_zero_says_where_zero_is() -> None:
    (shown,) = pictured([{"value": 0.0, "low": -0.25, "high": 0.75}])

    assert shown is not None
    assert shown["zero"] == 25.0
