"""Failures told by a process that runs somebody's code: always fit to be kept and shown."""

import math
import time
from pathlib import Path

import msgspec
import pytest

from serving.container.child.child_process import ChildPredictor
from serving.container.failures.container_errors import LoadFailed, error_of
from serving.container.failures.recent_failures import (
    Failure,
    RecentFailures,
    failure_of,
)
from serving.container.failures.tracebacks import MOST_CHARACTERS
from serving.container.spec import LoadSpec
from tests.serving.container.artifacts import save

# No text in UTF-8, a sequence that a terminal obeys, and more than anybody reads.
ODD = "\ud800\x1b[2J\0" + "x" * 200_000
DIES = r"""
import os

os.write(2, b"\x1b[2J the last \x00 words\n")
os._exit(3)
"""


def is_fit(text: str) -> bool:
    printable = text.replace("\n", "").isprintable()
    return printable and len(text) < 1.1 * MOST_CHARACTERS and text.startswith(r"\ud800\x1b[2J\x00")


def told(*, count: int = 1, last_at: float = 0.0) -> Failure:
    return Failure(kind=ODD, error=ODD, traceback=ODD, count=count, last_at=last_at)


@pytest.mark.parametrize(
    ("count", "counted"), [(7, 7), (-7, 1), (0, 1), (10**30, 1 << 32)], ids=str
)
def test_a_failure_that_was_told(count: int, counted: int) -> None:
    failures = RecentFailures()
    before = time.time()
    failures.merge(told(count=count, last_at=math.nan))
    (kept,) = failures.take()
    assert all(map(is_fit, (kept.kind, kept.error, kept.traceback)))
    assert kept.count == counted
    assert before <= kept.last_at <= time.time()
    msgspec.json.encode(kept)


def test_two_of_a_kind_are_one() -> None:
    failures = RecentFailures()
    for count in (2, 3):
        failures.merge(told(count=count))
    assert [kept.count for kept in failures.take()] == [5]


def test_why_a_model_did_not_load() -> None:
    failure = failure_of(error_of({"kind": "load_failed", "error": ODD, "traceback": ODD}))
    assert all(map(is_fit, (failure.error, failure.traceback)))


def test_the_last_words_of_a_process(artifact_file: Path) -> None:
    spec = LoadSpec(runtime="python", input_type="doubles", **save(DIES, at=artifact_file))
    with pytest.raises(LoadFailed, match=r"exit code 3 \(\\x1b\[2J the last \\x00 words\)"):
        ChildPredictor(spec)
