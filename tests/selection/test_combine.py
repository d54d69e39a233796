"""One output from many, and how far to trust it: by vote, by mean, in any order."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ModelFailed
from selection.combine import Combined, combine

ASKED = ("a:1", "b:1", "c:1")
WEIGHTS = {"a:1": 0.5, "b:1": 0.3, "c:1": 0.2}


def vote(*, asked=ASKED, weights=WEIGHTS, **texts: bytes) -> Combined:
    return combine(_arms(texts), weights=weights, asked=asked, how="vote")


def mean(*, asked=ASKED, weights=WEIGHTS, **texts: bytes) -> Combined:
    return combine(_arms(texts), weights=weights, asked=asked, how="mean")


def _arms(texts: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}:1": text for name, text in texts.items()}


def test_all_agree():
    assert vote(a=b"7", b=b"7", c=b"7") == Combined(b"7", 1.0)


def test_the_heavier_camp_wins_and_its_share_is_the_confidence():
    output, confidence = vote(a=b"7", b=b"7", c=b"1")
    assert output == b"7"
    assert confidence == pytest.approx(0.8)


def test_many_light_arms_can_outvote_a_heavy_one():
    weights = {"a:1": 0.4, "b:1": 0.3, "c:1": 0.3}
    assert vote(weights=weights, a=b"7", b=b"1", c=b"1").output == b"1"


def test_an_arm_that_did_not_answer_lowers_the_confidence():
    assert vote(a=b"7", b=b"7").confidence == pytest.approx(0.8)
    assert vote(c=b"7").confidence == pytest.approx(0.2)
    assert vote(a=b"7", c=b"1").confidence == pytest.approx(0.5)


def test_a_lone_arm_is_trusted_fully():
    assert vote(asked=("a:1",), weights={}, a=b"7") == Combined(b"7", 1.0)


def test_one_and_one_point_zero_are_one_value_and_the_most_trusted_text_is_given():
    assert vote(a=b"2", b=b"1.0", c=b"1", weights={"a:1": 0.4, "b:1": 0.25, "c:1": 0.35}) == (
        b"1",
        pytest.approx(0.6),
    )


def test_true_is_not_one_and_null_is_not_a_missing_answer():
    assert vote(a=b"1", b=b"true", c=b"true").confidence == pytest.approx(0.5)
    assert vote(a=b"1", b=b"null", c=b"null").confidence == pytest.approx(0.5)


def test_objects_agree_whatever_the_order_of_their_members():
    assert vote(a=b"0", b=b'{"x":1,"y":[2]}', c=b'{"y": [2.0], "x": 1}').confidence == 0.5
    agreed = {"a:1": 0.2, "b:1": 0.4, "c:1": 0.4}
    assert vote(weights=agreed, a=b"0", b=b'{"x":1,"y":[2]}', c=b'{"y": [2.0], "x": 1}') == (
        b'{"x":1,"y":[2]}',
        pytest.approx(0.8),
    )


def test_text_that_is_not_json_agrees_with_itself_only():
    assert vote(a=b"1", b=b"NaN", c=b"NaN").confidence == pytest.approx(0.5)


def test_a_tie_goes_to_the_first_name_in_whatever_order_answers_came():
    even = dict.fromkeys(ASKED, 1 / 3)
    assert vote(weights=even, c=b"3", b=b"2", a=b"1").output == b"1"
    assert vote(weights=even, asked=("c:1", "b:1", "a:1"), a=b"1", b=b"2", c=b"3").output == b"1"


def test_arms_that_weigh_nothing_are_counted():
    assert vote(weights={}, a=b"7", b=b"7", c=b"1") == Combined(b"7", pytest.approx(2 / 3))
    assert mean(weights={}, a=b"1", b=b"3").output == b"2.0"


def test_an_answer_that_was_not_asked_for_is_ignored():
    assert vote(a=b"1", b=b"1", c=b"1", z=b"9") == Combined(b"1", 1.0)


def test_nothing_cannot_be_combined():
    with pytest.raises(ValueError, match="no arm answered"):
        vote()


def test_the_mean_weighs_what_arrived():
    assert mean(a=b"1", b=b"2", c=b"10") == (b"3.1", 1.0)
    output, confidence = mean(a=b"1", b=b"5")
    assert json.loads(output) == pytest.approx((0.5 * 1 + 0.3 * 5) / 0.8)
    assert confidence == pytest.approx(0.8)


def test_arrays_have_a_mean_item_by_item():
    output, _ = mean(asked=("a:1", "b:1"), weights={"a:1": 0.5, "b:1": 0.5}, a=b"[1,2]", b=b"[3,6]")
    assert output == b"[2.0,4.0]"


@pytest.mark.parametrize("text", [b'"seven"', b"true", b"null", b"[[1]]", b"NaN", b"{}"])
def test_a_mean_of_what_is_no_number_says_which_arm_answered_what(text):
    with pytest.raises(ModelFailed, match=r"mean needs numbers.*b:1 answered"):
        mean(a=b"1", b=text)


def test_a_mean_of_several_shapes_is_refused():
    for other in (b"[1]", b"[1,2,3]", b"1"):
        with pytest.raises(ModelFailed, match="one shape"):
            mean(a=b"[1,2]", b=other)


def test_a_number_too_large_for_a_float_has_no_mean():
    with pytest.raises(ModelFailed, match="mean needs numbers"):
        mean(a=b"1" + b"0" * 400, b=b"1")


answers = st.dictionaries(
    st.sampled_from(["a:1", "b:1", "c:1", "d:1", "e:1"]),
    st.tuples(st.sampled_from([b"1", b"1.0", b"2", b"true", b"[1]"]), st.floats(1e-6, 1.0)),
    min_size=1,
)


@given(answers=answers, shuffled=st.randoms(), missing=st.integers(0, 4))
def test_a_vote_depends_on_no_order(answers, shuffled, missing):
    weights = {arm: weight for arm, (_, weight) in answers.items()}
    arrived = dict(list(answers.items())[: max(1, len(answers) - missing)])
    predictions = {arm: text for arm, (text, _) in arrived.items()}
    expected = combine(predictions, weights=weights, asked=tuple(answers), how="vote")
    items, asked = list(predictions.items()), list(answers)
    shuffled.shuffle(items)
    shuffled.shuffle(asked)
    got = combine(dict(items), weights=weights, asked=asked, how="vote")
    assert got.confidence == expected.confidence
    assert 0.0 < got.confidence <= 1.0
    assert json.loads(got.output) == json.loads(expected.output)


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
    weights=st.lists(st.floats(1e-3, 1.0), min_size=5, max_size=5),
)
def test_a_mean_lies_between_its_numbers(values, weights):
    predictions = {f"m{i}:1": json.dumps(v).encode() for i, v in enumerate(values)}
    given_weights = {f"m{i}:1": w for i, w in enumerate(weights)}
    output, confidence = combine(
        predictions, weights=given_weights, asked=tuple(predictions), how="mean"
    )
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - slack <= json.loads(output) <= max(values) + slack
    assert math.isclose(confidence, 1.0)
