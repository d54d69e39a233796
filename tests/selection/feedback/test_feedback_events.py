"""Reading feedback: one item or many, strictly, with labels left as they came."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadRequest, UnknownField
from selection.feedback.events import (
    MAX_ITEMS,
    FeedbackItem,
    parse_feedback,
    parse_item,
    parse_update,
)


def test_a_label_on_a_query() -> None:
    (item,) = parse_feedback(b'{"query_id": "abc", "label": [1, "x" ]}')
    assert item.query_id == "abc"
    assert bytes(item.label) == b'[1, "x" ]'


def test_metrics_come_with_any_feedback_on_a_query_up_to_eight() -> None:
    metrics = {f"metric_{number}": number / 8 for number in range(8)}
    item = {"query_id": "abc", "label": 7, "metrics": metrics}
    assert parse_item(json.dumps(item).encode()).metrics == metrics
    item["metrics"] = metrics | {"one_more": 1}
    with pytest.raises(BadRequest, match="length <= 8"):
        parse_item(json.dumps(item).encode())


def test_clippers_own_update_names_the_context_uid() -> None:
    item = parse_update(b'{"uid": 12, "input": [1], "label": 7}')
    assert (bytes(item.input), bytes(item.label), item.context) == (b"[1]", b"7", "12")


@pytest.mark.parametrize(
    "body",
    [
        b'{"uid": 12, "input": [1]}',
        json.dumps({"uid": "u" * 257, "input": 1, "label": 1}).encode(),
        b'{"uid": "a\\u0000b", "input": [1], "label": 1}',
        b'{"uid": "a", "input": [1], "label": "\xff"}',
    ],
)
def test_an_update_that_cannot_be_kept_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_update(body)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'{"query_id": "abc"}',
        b'{"query_id": "abc", "label": 1, "reward": 1}',
        b'{"query_id": "abc", "label": 1, "input": 1}',
        b'{"query_id": "abc", "label": 1, "context": "a"}',
        b'{"query_id": "abc", "label": 1, "features": [1]}',
        b'{"query_id": "q", "label": 1, "idempotency_key": "a"}',
        b'{"input": 1}',
        b'{"input": 1, "reward": 1}',
        b'{"query_id": "abc", "reward": 1.1}',
        b'{"query_id": "abc", "reward": "1"}',
        b'{"query_id": "abc", "rewards": {"a:1": 2}}',
        b'{"query_id": "abc", "rewards": {"a:1": 1}, "reward": 1}',
        b'{"input": 1, "label": 1, "metrics": {"a": 1}}',
        b'{"query_id": "abc", "label": 1, "metrics": {"a": 1.5}}',
        b'{"query_id": "abc", "label": 1, "metrics": {"A b": 1}}',
        b'{"input": 1, "label": 1, "context": "a\\u0000b"}',
        b'{"query_id": "abc", "label": "\xff"}',
    ],
)
def test_what_is_wrong_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_feedback(body)


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(UnknownField, match="'lable'"):
        parse_feedback(b'{"query_id": "abc", "lable": 1}')
    with pytest.raises(UnknownField, match="'more'"):
        parse_feedback(b'{"feedback": [], "more": 1}')


def test_a_malformed_item_among_several_is_returned_as_its_error() -> None:
    items = parse_feedback(b'{"feedback": [{"query_id": "abc", "label": 1}, {"x": 1}, 5]}')
    assert isinstance(items[0], FeedbackItem)
    assert isinstance(items[1], UnknownField)
    assert isinstance(items[2], BadRequest)


@pytest.mark.parametrize("count", [0, MAX_ITEMS + 1])
def test_a_request_has_a_least_and_a_most_number_of_items(count: int) -> None:
    with pytest.raises(BadRequest, match=f"expected 1 to {MAX_ITEMS} items, got {count}"):
        parse_feedback(json.dumps({"feedback": [{}] * count}).encode())


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_garbage_is_a_bad_request_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_feedback(body)
