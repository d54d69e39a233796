"""Losses lie between 0 and 1 and blame the right party."""

from __future__ import annotations

import pytest

from registry.errors import InvalidInput
from selection.losses import loss_against, loss_of_reward


@pytest.mark.parametrize(
    ("label", "output", "loss"),
    [(b"7", b"7", 0.0), (b"7", b"7.0", 0.0), (b'"a"', b'"b"', 1.0), (b"1", b"true", 1.0),
     (b'{"a":1,"b":2}', b'{"b":2,"a":1}', 0.0), (b"null", b"null", 0.0)],
)  # fmt: skip
def test_a_vote_is_right_or_wrong(label, output, loss):
    assert loss_against(label, output=output, how="vote") == loss


@pytest.mark.parametrize(
    ("label", "output", "loss"),
    [(b"1.5", b"1.25", 0.25), (b"0", b"100", 1.0), (b"3", b"3", 0.0), (b"[0,1]", b"[0.5,1]", 0.25),
     (b"[]", b"[]", 0.0), (b"1", b'"one"', 1.0), (b"1", b"[1]", 1.0), (b"[1,2]", b"[1]", 1.0)],
)  # fmt: skip
def test_a_number_is_as_wrong_as_it_is_far_off_at_most_one(label, output, loss):
    assert loss_against(label, output=output, how="mean") == pytest.approx(loss)


@pytest.mark.parametrize("label", [b'"one"', b"true", b"null", b'["x"]', b"{}"])
def test_a_label_without_number_is_the_callers_mistake(label):
    with pytest.raises(InvalidInput, match="expected a number"):
        loss_against(label, output=b"1", how="mean")


def test_a_reward_is_the_rest_of_a_loss():
    assert loss_of_reward(0.75) == 0.25
