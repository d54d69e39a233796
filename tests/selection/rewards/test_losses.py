"""Losses lie between 0 and 1 and blame the right party."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadRequest, InvalidInput
from selection.rewards.losses import LOSSES, check_loss, make_loss


def loss(label: bytes, output: bytes, of: str = "auto", **options: Any) -> float:
    return make_loss(of, **options)(label, output)


@pytest.mark.parametrize(
    ("label", "output", "expected"),
    [
        (b"7", b"7", 0.0),
        (b"7", b"7.0", 0.0),
        (b'"a"', b'"b"', 1.0),
        (b"1", b"true", 1.0),
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}', 0.0),
        (b"[1,2]", b"[1,3]", 1.0),
    ],
)
def test_a_vote_is_right_or_wrong(label: bytes, output: bytes, expected: float) -> None:
    assert loss(label, output, combine="vote") == expected


@pytest.mark.parametrize(
    ("label", "output", "expected"),
    [
        (b'"cat"', b'{"cat": 0.6, "dog": 0.4}', 0.0),
        (b'"dog"', b'{"cat": 0.6, "dog": 0.4}', 1.0),
        (b"1", b"[0.1, 5, 0.2]", 0.0),
        (b"7", b'{"7": 1, "8": 0}', 0.0),
        (b"true", b"[0, 1]", 1.0),
    ],
)
def test_scores_are_judged_by_their_best_class(
    label: bytes, output: bytes, expected: float
) -> None:
    assert loss(label, output, combine="scores") == expected


@pytest.mark.parametrize(
    ("label", "output", "expected"),
    [
        (b"1.5", b"1.25", 0.25),
        (b"0", b"100", 1.0),
        (b"3", b"3", 0.0),
        (b"[0,1]", b"[0.5,1]", 0.25),
        (b"1", b'"one"', 1.0),
        (b"1", b"[1]", 1.0),
    ],
)
@pytest.mark.parametrize("combine", ["mean", "median"])
def test_a_number_is_as_wrong_as_it_is_far_off_at_most_one(
    combine: str, label: bytes, output: bytes, expected: float
) -> None:
    assert loss(label, output, combine=combine) == pytest.approx(expected)


def test_errors_are_divided_by_the_scale_before_they_are_cut() -> None:
    assert loss(b"100", b"103", "absolute", scale=10.0) == pytest.approx(0.3)
    assert loss(b"100", b"200", "absolute", scale=10.0) == 1.0
    assert loss(b"100", b"105", "squared", scale=10.0) == pytest.approx(0.25)
    assert loss(b"[0,0]", b"[1,3]", "squared", scale=4.0) == pytest.approx((1 / 16 + 9 / 16) / 2)
    assert loss(b"1", b"0.5", "log", scale=0.5) == pytest.approx(2 * math.log(2) / math.log(1000))


@pytest.mark.parametrize("of", ["absolute", "squared"])
@pytest.mark.parametrize("label", [b'"one"', b"true", b"null", b'["x"]', b"{}"])
def test_a_label_without_number_is_the_callers_mistake(of: str, label: bytes) -> None:
    with pytest.raises(InvalidInput, match="expected a number"):
        loss(label, b"1", of)


# --- items that nobody knows ------------------------------------------------------------------


def test_only_known_items_of_an_array_count() -> None:
    assert loss(b"[null, 3, null]", b"[9, 3, 9]", "zero_one") == 0.0
    assert loss(b"[null, 3, 4]", b"[9, 3, 9]", "zero_one") == 1.0
    assert loss(b"[null, 3]", b"[9, 3.5]", "absolute") == 0.5
    assert loss(b"[null, 3, 3]", b"[9, 3.5, 3]", "squared") == pytest.approx(0.125)


@pytest.mark.parametrize("of", ["zero_one", "absolute", "squared"])
def test_an_output_of_another_length_is_wrong_and_a_label_without_known_item_refused(
    of: str,
) -> None:
    assert loss(b"[null, 1]", b"[1]", of) == 1.0
    with pytest.raises(InvalidInput, match="expected an item that is not null"):
        loss(b"[null, null]", b"[1, 2]", of)


# --- log --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "output", "probability"),
    [
        (b'"cat"', b'{"cat": 0.25, "dog": 0.75}', 0.25),
        (b"1", b"[0.2, 0.8]", 0.8),
        (b"1", b"0.9", 0.9),
        (b"0", b"0.9", 0.1),
        (b"true", b"0.9", 0.9),
    ],
)
def test_log_loss_is_what_the_chance_of_the_right_class_costs(
    label: bytes, output: bytes, probability: float
) -> None:
    assert loss(label, output, "log") == pytest.approx(-math.log(probability) / math.log(1000))


@pytest.mark.parametrize(
    ("label", "output"),
    [
        (b'"cow"', b'{"cat": 1}'),
        (b"1", b"0"),
        (b"1", b"1.5"),
        (b"1", b'"one"'),
        (b'"cat"', b"[1, 2]"),
        (b"1", b"[1, -1]"),
    ],
)
def test_a_class_without_any_chance_is_as_wrong_as_it_gets(label: bytes, output: bytes) -> None:
    assert loss(label, output, "log") == 1.0


@pytest.mark.parametrize("label", [b"null", b"[1]", b"{}", b"0.5"])
def test_a_label_that_is_no_class_is_the_callers_mistake(label: bytes) -> None:
    with pytest.raises(InvalidInput, match="expected a class"):
        loss(label, b"[0.5, 0.5]", "log")


# --- all of them ------------------------------------------------------------------------------


def test_a_loss_that_does_not_exist_is_refused() -> None:
    for refused in (lambda: check_loss("magic", ""), lambda: make_loss("magic")):
        with pytest.raises(BadRequest, match="loss: expected one of auto, zero_one"):
            refused()


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3)
)
json_values = st.recursive(
    values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    of=st.sampled_from([name for name in LOSSES if name != "expression"]),
    combine=st.sampled_from(["vote", "scores", "mean", "median", "a package's own"]),
    label=json_values,
    output=json_values,
    scale=st.floats(1e-9, 1e12),
)
def test_every_loss_of_anything_is_between_0_and_1_or_the_labels_fault(
    of: str, combine: str, label: Any, output: Any, scale: float
) -> None:
    texts = json.dumps(label).encode(), json.dumps(output).encode()
    with suppress(InvalidInput):
        assert 0.0 <= loss(*texts, of, combine=combine, scale=scale) <= 1.0
