"""Agreement of two models: the count of equal outputs, and the distance between numbers."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.container.check_report import Agreement, agreement, difference, read_report
from serving.rpc.frames.codec import Answer, AnswerStatus
from tests.serving.container.test_check_report import checked


class Echo:
    """Answers each input with itself; what is no JSON is refused."""

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        return [
            Answer(AnswerStatus.INVALID_INPUT, b"no")
            if raw == b"no"
            else Answer(AnswerStatus.OK, raw)
            for raw in inputs
        ]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, 0.0),
        (1.5, 1, 0.5),
        ([1, [2, 3]], [1, [2, 5.5]], 2.5),
        ({"a": 0.25, "b": 0.75}, {"b": 0.5, "a": 0.5}, 0.25),
        ("cat", "cat", 0.0),
        ("cat", "dog", None),
        (True, 1, None),
        (None, None, 0.0),
        ([1, "cat"], [2, "dog"], None),
        ([1], [1, 2], None),
        ({"a": 1}, {"b": 1}, None),
        ([], {}, None),
        (10**400, 0, sys.float_info.max),
        (1e308, -1e308, sys.float_info.max),
        (10**400, 10**400, 0.0),
    ],
)
def test_numbers_are_compared_by_place_and_the_rest_by_value(
    one: Any, other: Any, expected: float | None
) -> None:
    assert difference(one, other) == difference(other, one) == expected


def test_it_counts_what_is_answered_and_what_is_the_same() -> None:
    rows = [(b"1", b"1.0"), (b"2", b"2.5"), (b'"a"', b'"b"'), (b"no", b"1")]
    assert agreement(Echo(), rows) == Agreement(
        inputs=4, answered=3, same=1, largest_difference=0.5
    )
    labels = [(b'"a"', b'"a"'), (b'"a"', b'"b"')]
    assert agreement(Echo(), labels) == Agreement(
        inputs=2, answered=2, same=1, largest_difference=None
    )


def test_it_ends_in_time() -> None:
    found = agreement(Echo(), [(b"1", b"1")] * 3, seconds=0.0)
    assert (found.inputs, found.answered) == (0, 0)


def test_a_check_answers_kept_inputs(capfd: Any, tmp_path: Path) -> None:
    kept = tmp_path / "inputs"
    rows = [(b'{"age": 1}', b"[1.0, 2.0]"), (b'{"age": 2}', b"[5.0, 2.0]"), (b"7", b"1")]
    kept.write_bytes(msgspec.msgpack.encode(rows))
    descriptor = os.open(kept, os.O_RDONLY)
    told = checked(capfd, at=tmp_path / "a.py", more=("--kept", str(descriptor)))
    found = {"inputs": 3, "answered": 2, "same": 1, "largest_difference": 3.0}
    assert told["report"]["kept"] == found
    assert msgspec.to_builtins(read_report(json.loads(json.dumps(told["report"])))) == {
        "kept": found
    }
