"""Wording of the best version on pages, and pictures of the intervals of all."""

from typing import Any

import pytest

from console.words.recommendation import pictured, worded


def found(state: str, *, confidence: float, since: str | None = None) -> dict[str, Any]:
    named = {"arm": "knn:2", "state": state, "labels": 12_400}
    return {**named, "confidence": confidence, "since": since}


@pytest.mark.parametrize(
    ("state", "confidence", "sentence", "style"),
    [
        ("best", 0.9687, "knn:2 is the best, 96 % sure", "live"),
        ("best", 0.99996, "knn:2 is the best, 99.9 % sure", "live"),
        (
            "undecided",
            0.0,
            "No version is proved to be the best yet: knn:2 leads, 0 % sure",
            "",
        ),
        (
            "reopened",
            0.4,
            "Reopened, as a version has changed: knn:2 leads, 40 % sure",
            "starting",
        ),
    ],
)
def test_a_recommendation_is_a_sentence(
    state: str, confidence: float, sentence: str, style: str
) -> None:
    told = worded(found(state, confidence=confidence))

    assert (told["recommendation"], told["proof"]) == (sentence, style)


def test_intervals_share_one_scale() -> None:
    wide = {"value": 0.6, "low": 0.5, "high": 0.9}
    narrow = {"value": 0.8, "low": 0.7, "high": 0.8}

    assert pictured([wide, None, narrow]) == [
        {"left": 0.0, "width": 100.0, "at": 25.0},
        None,
        {"left": 50.0, "width": 25.0, "at": 75.0},
    ]
    assert pictured([]) == []
