"""One output from many, and how far to trust it: by vote, by mean, in any order."""

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies._internal.random import ArtificialRandom

from core.errors import ModelFailed
from selection.answers.combine import Combined, combine
from selection.answers.imputation import Averages

ASKED = ("a:1", "b:1", "c:1")
WEIGHTS = {"a:1": 0.5, "b:1": 0.3, "c:1": 0.2}


def combined(
    how: str,
    *,
    asked: tuple[str, ...] = ASKED,
    weights: dict[str, float] = WEIGHTS,
    averages: Averages | None = None,
    **texts: bytes,
) -> Combined:
    return combine(_arms(texts), weights=weights, asked=asked, how=how, averages=averages)


vote, mean, scores, median = (
    partial(combined, how) for how in ("vote", "mean", "scores", "median")
)


def _arms(texts: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}:1": text for name, text in texts.items()}


def test_the_heavier_camp_wins_and_its_share_is_the_confidence() -> None:
    output, confidence = vote(a=b"7", b=b"7", c=b"1")
    assert output == b"7"
    assert confidence == pytest.approx(0.8)


def test_an_arm_that_did_not_answer_lowers_the_confidence() -> None:
    assert vote(a=b"7", b=b"7").confidence == pytest.approx(0.8)
    assert vote(c=b"7").confidence == pytest.approx(0.2)
    assert vote(a=b"7", c=b"1").confidence == pytest.approx(0.5)


def test_one_and_one_point_zero_are_one_value_and_the_most_trusted_text_is_given() -> None:
    assert vote(a=b"2", b=b"1.0", c=b"1", weights={"a:1": 0.4, "b:1": 0.25, "c:1": 0.35}) == (
        b"1",
        pytest.approx(0.6),
    )


def test_true_is_not_one_and_null_is_not_a_missing_answer() -> None:
    assert vote(a=b"1", b=b"true", c=b"true").confidence == pytest.approx(0.5)
    assert vote(a=b"1", b=b"null", c=b"null").confidence == pytest.approx(0.5)


def test_objects_agree_whatever_the_order_of_their_members() -> None:
    assert vote(a=b"0", b=b'{"x":1,"y":[2]}', c=b'{"y": [2.0], "x": 1}').confidence == 0.5
    agreed = {"a:1": 0.2, "b:1": 0.4, "c:1": 0.4}
    assert vote(weights=agreed, a=b"0", b=b'{"x":1,"y":[2]}', c=b'{"y": [2.0], "x": 1}') == (
        b'{"x":1,"y":[2]}',
        pytest.approx(0.8),
    )


def test_text_that_is_not_json_agrees_with_itself_only() -> None:
    assert vote(a=b"1", b=b"NaN", c=b"NaN").confidence == pytest.approx(0.5)


def test_arms_that_weigh_nothing_are_counted() -> None:
    assert vote(weights={}, a=b"7", b=b"7", c=b"1") == (b"7", pytest.approx(2 / 3))
    assert mean(weights={}, a=b"1", b=b"3").output == b"2.0"


def test_the_mean_weighs_what_arrived() -> None:
    assert mean(a=b"1", b=b"2", c=b"10") == (b"3.1", 1.0)
    output, confidence = mean(a=b"1", b=b"5")
    assert json.loads(output) == pytest.approx((0.5 * 1 + 0.3 * 5) / 0.8)
    assert confidence == pytest.approx(0.8)


@pytest.mark.parametrize(
    "text", [b'"seven"', b"true", b"null", b"[[1]]", b"NaN", b"1" + b"0" * 400]
)
def test_a_mean_of_what_is_no_number_says_which_arm_answered_what(text: bytes) -> None:
    with pytest.raises(ModelFailed, match=r"mean needs numbers.*b:1 answered"):
        mean(a=b"1", b=text)


def test_a_mean_of_several_shapes_is_refused() -> None:
    for other in (b"[1]", b"[1,2,3]", b"1"):
        with pytest.raises(ModelFailed, match="one shape"):
            mean(a=b"[1,2]", b=other)


answers = st.dictionaries(
    st.sampled_from(["a:1", "b:1", "c:1", "d:1", "e:1"]),
    st.tuples(st.sampled_from([b"1", b"1.0", b"2", b"true", b"[1]"]), st.floats(1e-6, 1.0)),
    min_size=1,
)


@given(answers=answers, shuffled=st.randoms(), missing=st.integers(0, 4))
def test_a_vote_depends_on_no_order(
    answers: dict[str, tuple[bytes, float]], shuffled: ArtificialRandom, missing: int
) -> None:
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


# --- class scores -----------------------------------------------------------------------------


def test_scores_of_labels_give_the_label_and_the_share_that_prefers_it() -> None:
    output, confidence = scores(
        a=b'{"cat": 0.6, "dog": 0.4}', b=b'{"dog": 1}', c=b'{"dog": 0.9, "cat": 0.1}'
    )
    # cat: 0.5 * 0.6 + 0.2 * 0.1, dog: 0.5 * 0.4 + 0.3 + 0.2 * 0.9
    assert output == b'"dog"'
    assert confidence == pytest.approx(0.5)


def test_scores_in_arrays_give_the_index() -> None:
    assert scores(a=b"[0.1, 0.9]", b=b"[0.2, 0.8]", c=b"[1, 0]") == (b"1", pytest.approx(0.8))
    assert scores(asked=("a:1",), a=b"[0.1, 0.9]") == (b"1", 1.0)
    assert scores(a=b"[0, 9]", b=b"[0, 9]", c=b"[0, 9]") == (b"1", 1.0)


def test_a_tie_of_scores_goes_to_the_first_class_in_order() -> None:
    even = dict.fromkeys(ASKED, 1 / 3)
    assert scores(weights=even, a=b"[1, 0]", b=b"[0, 1]", c=b"[1, 1]").output == b"0"
    assert scores(weights=even, a=b'{"b": 1}', b=b'{"a": 1}', c=b'{"a": 0}').output == b'"a"'


@pytest.mark.parametrize("text", [b"1", b'"cat"', b"[]", b"{}", b"[1, -1]", b'{"a": "b"}', b"NaN"])
def test_what_are_no_scores_says_which_arm_answered_what(text: bytes) -> None:
    with pytest.raises(ModelFailed, match=r"scores: numbers from 0 up, b:1 answered"):
        scores(a=b"[1, 0]", b=text)
    with pytest.raises(ModelFailed, match="one shape"):
        scores(a=b"[1, 0]", b=b"[1, 0, 0]")


# --- the median -------------------------------------------------------------------------------


def test_the_median_has_half_of_the_trust_on_either_side() -> None:
    assert median(a=b"5", b=b"1", c=b"900") == (b"5.0", 1.0)
    heavy = {"a:1": 0.1, "b:1": 0.1, "c:1": 0.8}
    assert median(weights=heavy, a=b"5", b=b"1", c=b"900").output == b"900.0"


def test_between_two_halves_it_is_in_the_middle() -> None:
    even = {"a:1": 0.5, "b:1": 0.5}
    assert median(asked=("a:1", "b:1"), weights=even, a=b"1", b=b"4").output == b"2.5"
    assert median(a=b"1", b=b"4", c=b"7").output == b"2.5"  # 0.5, 0.3 and 0.2


# --- stragglers -------------------------------------------------------------------------------


def test_an_arms_average_stands_in_for_it_and_agrees_with_nothing() -> None:
    averages = Averages()
    for number in (b"10", b"20", b"30"):
        mean(a=b"1", b=b"1", c=number, averages=averages)
    output, confidence = mean(a=b"1", b=b"2", averages=averages)
    assert json.loads(output) == pytest.approx(0.5 * 1 + 0.3 * 2 + 0.2 * 20)
    assert confidence == pytest.approx(0.8)


def test_averages_of_scores_stand_in_label_by_label() -> None:
    averages = Averages()
    scores(a=b'{"x": 1}', b=b'{"x": 1}', c=b'{"x": 1}', averages=averages)
    scores(a=b'{"y": 1}', b=b'{"y": 1}', c=b'{"x": 1}', averages=averages)
    # Of a, 0.5 for x and y each; of b 0.3 of y, of c 0.2 for x.
    output, confidence = scores(b=b'{"y": 1}', c=b'{"x": 1}', averages=averages)
    assert (output, confidence) == (b'"y"', pytest.approx(0.3))


def test_nothing_stands_in_where_nothing_is_known_or_it_has_another_shape() -> None:
    averages = Averages()
    assert mean(a=b"1", averages=averages) == (b"1", 0.5)
    mean(a=b"[1,2]", b=b"[1,2]", c=b"[3,2]", averages=averages)
    assert json.loads(mean(a=b"5", b=b"1", averages=averages).output) == pytest.approx(2.8 / 0.8)


def test_an_average_follows_its_arm_and_few_are_kept() -> None:
    averages = Averages(memory=10, arms=2)
    for _ in range(200):
        averages.note("a:1", kind="mean", values=0.0)
    for _ in range(200):
        averages.note("a:1", kind="mean", values=1.0)
    assert averages.of("a:1", kind="mean") == pytest.approx(1.0, abs=1e-6)
    averages.note("b:1", kind="mean", values=1.0)
    averages.note("c:1", kind="mean", values=1.0)
    assert averages.of("a:1", kind="mean") is None
    averages.note("b:1", kind="mean", values=[0.0] * 20_000)  # too long to be averaged
    assert averages.of("b:1", kind="mean") == 1.0


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
    weights=st.lists(st.floats(1e-3, 1.0), min_size=5, max_size=5),
    shuffled=st.randoms(),
)
def test_a_median_depends_on_no_order_and_lies_between_its_numbers(
    values: list[float], weights: list[float], shuffled: ArtificialRandom
) -> None:
    predictions = [(f"m{i}:1", json.dumps(v).encode()) for i, v in enumerate(values)]
    trusted = {f"m{i}:1": w for i, w in enumerate(weights)}
    expected = combine(
        dict(predictions), weights=trusted, asked=[arm for arm, _ in predictions], how="median"
    )
    shuffled.shuffle(predictions)
    got = combine(
        dict(predictions), weights=trusted, asked=[arm for arm, _ in predictions], how="median"
    )
    assert json.loads(got.output) == json.loads(expected.output)
    assert min(values) <= json.loads(got.output) <= max(values)
