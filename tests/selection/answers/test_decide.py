"""Choice of the answer: the arms', or the default output, and why."""

import pytest

from selection.answers.combine import MEAN, VOTE, Combined, Fault, Objection, decide
from selection.policies import Prepared, make_policy
from selection.policies.arithmetic.answer_sums import Promise
from selection.policies.arithmetic.sums import State
from selection.store.state_record import prepared

PROMISE = Promise(0.05, 0.95)
BOTH = ("a:1", "b:1")


def decided(
    outputs: dict[str, bytes],
    *,
    how: str = VOTE,
    threshold: float = 0.0,
    default: bytes | None = b"-1",
    ready: Prepared | None = None,
) -> Combined | Objection:
    return decide(
        outputs,
        weights={"a:1": 3.0, "b:1": 1.0},
        asked=BOTH,
        how=how,
        threshold=threshold,
        default=default,
        prepared=ready,
    )


def test_the_arms_answer_is_given_where_they_are_confident_enough() -> None:
    assert decided({"a:1": b"7"}, threshold=0.75) == Combined(b"7", 0.75)


def test_one_of_low_confidence_gives_way_to_the_default() -> None:
    found = decided({"b:1": b"7"}, threshold=0.5)
    assert isinstance(found, Objection)
    assert (found.fault, found.confidence) == (Fault.UNSURE, 0.25)
    assert found.explanation == "confidence 0.25 below the threshold 0.5"


def test_one_below_the_threshold_of_a_promise_gives_way_too() -> None:
    ready = prepared(make_policy("exp4", {}), State(), {"a:1": 1.0, "b:1": 1.0}, promise=PROMISE)
    found = decided({"a:1": b"7", "b:1": b"7"}, ready=ready)
    assert isinstance(found, Objection)
    assert found.fault is Fault.UNSURE
    assert found.explanation.startswith("confidence 0.999 below the threshold 1 of the promise")


def test_without_a_default_there_is_nothing_better_to_give() -> None:
    assert decided({"b:1": b"7"}, threshold=0.5, default=None) == Combined(b"7", 0.25)


@pytest.mark.parametrize("default", [b"-1", None])
@pytest.mark.parametrize(
    ("outputs", "fault"),
    [({}, Fault.NO_OUTPUT), ({"a:1": b'"cat"', "b:1": b"1"}, Fault.NOT_COMBINED)],
    ids=["no output", "nothing to take the mean of"],
)
def test_nothing_that_can_be_given_is_an_objection_with_or_without_a_default(
    outputs: dict[str, bytes], fault: Fault, default: bytes | None
) -> None:
    found = decided(outputs, how=MEAN, default=default)
    assert isinstance(found, Objection)
    assert (found.fault, found.confidence) == (fault, 0.0)
    assert found.explanation
