"""Outputs become JSON, each for itself."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.container.adapters.encoding import NOT_FINITE, encode_outputs
from serving.rpc.frames.codec import AnswerStatus

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | FINITE | st.text(max_size=9)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.lists(VALUES) | st.lists(st.integers(-(2**70), 2**70)) | st.lists(FINITE))
def test_json_values_come_out_as_they_went_in(outputs: list[Any]) -> None:
    answers = encode_outputs(outputs)
    assert [answer.status for answer in answers] == [AnswerStatus.OK] * len(outputs)
    assert [decode(answer.payload) for answer in answers] == outputs


@dataclass
class Scored:
    """An output of a class that msgspec knows how to write."""

    score: float


class Secretive:
    """An output that breaks whoever looks at it."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(name)


def decode(payload: bytes) -> Any:
    return json.loads(payload)


@pytest.mark.parametrize(
    ("output", "payload"),
    [
        (3, b"3"),
        (3.0, b"3.0"),
        (True, b"true"),
        (np.int64(3), b"3"),
        (np.float32(0.5), b"0.5"),
        (np.bool_(True), b"true"),
        (np.str_("a"), b'"a"'),
        (np.array([1, 2]), b"[1,2]"),
        ({"scores": np.array([0.5])}, b'{"scores":[0.5]}'),
        ("null", b'"null"'),
        (None, b"null"),
        (b"\0\1\2", b'"AAEC"'),
        (pd.Timestamp("2026-01-02", tz="UTC"), b'"2026-01-02T00:00:00+00:00"'),
        ({"seen": pd.Timestamp("2026-01-02")}, b'{"seen":"2026-01-02T00:00:00"}'),
        ([pd.NaT, pd.NA], b"[null,null]"),
        ({True: 0.9, False: 0.1}, b'{"true":0.9,"false":0.1}'),
        (pd.DataFrame({"a": [1], "b": ["x"]}), b'[{"a":1,"b":"x"}]'),
    ],
)
def test_a_value_and_its_json(output: Any, payload: bytes) -> None:
    for outputs in ([output], [output, "another"]):
        assert encode_outputs(outputs)[0] == (AnswerStatus.OK, payload)


@pytest.mark.parametrize(
    "output",
    [
        float("nan"),
        float("inf"),
        -np.float64("inf"),
        [1.0, float("nan")],
        {"a": [float("nan")]},
        np.array([1.0, np.nan]),
        [np.float32("nan")],
        Scored(score=float("nan")),
        [{"of": Scored(score=float("inf"))}],
    ],
)
def test_an_output_that_is_not_finite_fails_alone(output: Any) -> None:
    assert NOT_FINITE.status is AnswerStatus.MODEL_FAILED
    for good in (1.0, "a"):
        answers = encode_outputs([good, output, good])
        assert answers[1] == NOT_FINITE
        assert answers[0] == answers[2] == (AnswerStatus.OK, msgspec.json.encode(good))


def test_an_output_that_json_cannot_hold_fails_alone() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for output in (object(), 1j, {(1, 2): 3}, endless, "\ud800", 10**5000, Secretive()):
        bad, good = encode_outputs([output, 1])
        assert bad.status is AnswerStatus.MODEL_FAILED
        assert b"expected outputs that JSON can hold" in bad.payload
        assert good == (AnswerStatus.OK, b"1")
