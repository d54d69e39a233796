"""Sums of a replay: agreement, the matrix, and a gain whose interval holds the truth."""

from functools import partial
from random import Random
from typing import Any

from selection.rewards.losses import make_loss
from serving.capture.drain import are_unlike
from serving.capture.replay_sums import CHANGED_ROWS, CLASSES, ReplayedRow, ReplaySums, sums_in

note = partial(
    ReplaySums.note, unlike=partial(are_unlike, combine="vote"), loss=make_loss("zero_one")
)


def row(number: int = 1, *, live: str = "1", now: str = "1", **fields: Any) -> ReplayedRow:
    given: Any = {"given": b"1", "error": "", "seconds": 0.001, **fields}
    return ReplayedRow(number=number, live=live.encode(), now=now.encode(), **given)


def counted(*rows: ReplayedRow) -> ReplaySums:
    sums = ReplaySums()
    for each in rows:
        note(sums, each)
    return sums


def test_rows_that_changed_are_counted_and_the_first_ones_kept() -> None:
    same = [row(number) for number in range(50)]
    other = [row(number, now="2") for number in range(150)]
    sums = counted(*same, *other, row(7, now="", error="boom"))
    found = sums.summary()
    assert (found["answered"], found["failed"]) == (200, 1)
    assert found["agreement_with_live"] == found["agreement_with_given"] == 0.25
    assert found["matrix"] == {"1": {"1": 50, "2": 150}}
    assert len(sums.changed) == CHANGED_ROWS
    assert sums.errors == [{"row": 7, "error": "boom"}]
    assert 0.5 < found["p50_ms"] < 1.5


def test_a_loss_of_three_points_is_found_in_five_thousand_labels() -> None:
    random = Random(3)
    sums = ReplaySums()
    for number in range(5000):
        luck = random.random()
        live, now = ("1", "0") if luck < 0.05 else ("0", "1") if luck < 0.07 else ("1", "1")
        note(sums, row(number, live=live, now=now, label="1"))
    gain = sums.gain()
    assert gain is not None
    assert gain.low < -0.03 < gain.high < 0.0


def test_labels_that_say_nothing_of_the_answers_do_not_count() -> None:
    judge = make_loss("absolute", scale=1.0)
    sums = ReplaySums()
    sums.note(row(label='"a text"'), unlike=partial(are_unlike, combine="mean"), loss=judge)
    assert (sums.labels, sums.gain()) == (0, None)


def test_numbers_are_no_classes_and_sums_survive_json() -> None:
    import msgspec

    sums = counted(*(row(number, live=str(number)) for number in range(CLASSES + 1)))
    assert sums.matrix is None
    again = sums_in(msgspec.to_builtins(sums, str_keys=True))
    assert again == sums
