"""What a process that runs somebody's code says of the length of inputs isn't taken on trust."""

from __future__ import annotations

import pytest

from serving.container.signature import MOST_FEATURES, told_features


@pytest.mark.parametrize("told", [0, 64, MOST_FEATURES])
def test_a_number_of_numbers_is_taken(told: int) -> None:
    assert told_features(told) == told


@pytest.mark.parametrize("told", [None, -1, MOST_FEATURES + 1, 64.0, True, "64", [64]])
def test_anything_else_counts_as_not_told(told: object) -> None:
    assert told_features(told) is None
