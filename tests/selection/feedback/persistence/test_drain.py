"""From the stream to the database: nothing lost, nothing twice, nothing blocked."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import redis
from django.db import OperationalError, connection

from registry.models import Application
from selection.feedback.events import ArmOutcome, FeedbackEvent, ResetEvent
from selection.feedback.persistence import drain as persist
from selection.feedback.persistence.drain import drain_feedback, persist_feedback
from selection.feedback.persistence.stream import position_text
from selection.models import Feedback, StateReset

STREAM, REJECTED = "clipper:feedback", "clipper:feedback:rejected"

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """Ends a consumer where it stands, as `kill -9` does."""


@pytest.fixture
def digits() -> Application:
    return Application.objects.create(name="digits", input_type="doubles")


def event(digits: Application, number: int = 0, **changes: Any) -> FeedbackEvent:
    fields: dict[str, Any] = {
        "application_id": digits.pk,
        "context": "ann",
        "nonce": f"{number:024x}",
        "issued_at_ms": 1_700_000_000_250,
        "received_at_ms": 1_700_000_001_000,
        "kind": "receipt",
        "label": "7",
        "reward": None,
        "arms": (ArmOutcome("svm:2", 0.25, "1", 1.0), ArmOutcome("knn:1", 1.0, None, None)),
        "forced": False,
    }
    return FeedbackEvent(**(fields | changes))


def add(stream: redis.Redis, *events: FeedbackEvent) -> None:
    for one in events:
        stream.xadd(STREAM, {"event": msgspec.msgpack.encode(one)})


def drain(stream: redis.Redis, **options: Any) -> None:
    while persist_feedback(stream, **options):
        pass


def nonces() -> list[int]:
    return sorted(int(nonce, 16) for nonce in Feedback.objects.values_list("nonce", flat=True))


def test_a_row_says_all_that_the_event_said_and_where_it_was(
    stream: redis.Redis, digits: Application
) -> None:
    one = event(
        digits,
        routed=("svm:2", "knn:1", "tree:1"),
        features=(0.1, -2.5e-300),
        key="u1",
        metrics={"clicked": 1.0},
        forced=True,
        held_out=True,
        defaulted=True,
    )
    fields: dict[str, Any] = {
        "event": msgspec.msgpack.encode(one),
        "gone": msgspec.msgpack.encode(["bob", "é"]),
    }
    stream.xadd(STREAM, fields, id="1700000000123-7")
    assert persist_feedback(stream) == 1
    row = Feedback.objects.get()
    assert (row.application, row.context, row.kind) == (digits, "ann", "receipt")
    assert (row.forced, row.held_out, row.defaulted) == (True, True, True)
    assert (row.label, row.reward) == ("7", None)
    assert row.issued_at.isoformat() == "2023-11-14T22:13:20.250000+00:00"
    assert row.received_at.isoformat() == "2023-11-14T22:13:21+00:00"
    assert row.arms == [
        {"arm": "svm:2", "propensity": 0.25, "output": "1", "loss": 1.0},
        {"arm": "knn:1", "propensity": 1.0, "output": None, "loss": None},
    ]
    assert (row.routed, row.features) == (["svm:2", "knn:1", "tree:1"], [0.1, -2.5e-300])
    assert (row.key, row.metrics, row.gone) == ("u1", {"clicked": 1.0}, ["bob", "é"])
    assert position_text(row.position) == "1700000000123-7"


def reset(digits: Application, context: str | None = "ann") -> ResetEvent:
    return ResetEvent(
        application_id=digits.pk, context=context, at_ms=1_700_000_000_000, by="grace"
    )


def test_a_reset_takes_its_turn_and_is_one_row_however_often_it_is_taken(
    stream: redis.Redis, digits: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(stream, event(digits, 0))
    stream.xadd(STREAM, {"reset": msgspec.msgpack.encode(reset(digits))})
    stream.xadd(STREAM, {"reset": msgspec.msgpack.encode(reset(digits, None))})
    add(stream, event(digits, 1))

    def die(*args: redis.Redis, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(persist, "_take_off", die)
        with pytest.raises(Killed):
            persist_feedback(stream)
    drain(stream)
    first, second = Feedback.objects.order_by("position").values_list("position", flat=True)
    everywhere, ann = StateReset.objects.all()
    assert first < ann.position < everywhere.position < second
    assert (ann.context, ann.everywhere, ann.by) == ("ann", False, "grace")
    assert (everywhere.context, everywhere.everywhere) == ("", True)
    assert ann.at.isoformat() == "2023-11-14T22:13:20+00:00"
    assert str(ann) == "digits: ann reset"
    assert str(everywhere) == "digits: everything reset"


@pytest.mark.parametrize("where", ["_rows", "_insert", "_take_off"])
def test_a_consumer_killed_at_any_point_loses_and_doubles_nothing(
    stream: redis.Redis, digits: Application, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    add(stream, *(event(digits, number) for number in range(10)))

    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(persist, where, die)
        with pytest.raises(Killed):
            persist_feedback(stream, batch=4)
    drain(stream, batch=4)
    assert nonces() == list(range(10))
    assert stream.xlen(STREAM) == 0


def test_what_a_dead_consumer_had_taken_is_taken_over(
    stream: redis.Redis, digits: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(stream, *(event(digits, number) for number in range(3)))
    stream.xgroup_create(STREAM, "database", id="0", mkstream=True)
    stream.xreadgroup("database", "dead", {STREAM: ">"})
    assert persist_feedback(stream, consumer="alive") == 0  # it may yet be working on them
    monkeypatch.setattr(persist, "TAKEN_OVER_AFTER_MS", 0)
    drain(stream, consumer="alive")
    assert nonces() == [0, 1, 2]
    assert stream.xpending(STREAM, "database")["pending"] == 0


def test_a_database_that_is_away_leaves_the_batch_for_later(
    stream: redis.Redis, digits: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(stream, event(digits))

    def locked(*args: Iterator[Any], **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(persist, "insert", locked)
        with pytest.raises(OperationalError):
            persist_feedback(stream)
    drain(stream)
    assert nonces() == [0]


@pytest.mark.parametrize(
    "fields",
    [{"event": b"\xc1"}, {"event": b""}, {"other": b"1"},
     {"event": msgspec.msgpack.encode({"application_id": 1})}, {"reset": b"\xc1"}],
)  # fmt: skip
def test_an_unreadable_entry_is_put_aside_and_blocks_nothing(
    stream: redis.Redis,
    digits: Application,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, bytes],
) -> None:
    add(stream, event(digits, 0))
    bad = stream.xadd(STREAM, fields)
    add(stream, event(digits, 1))
    drain(stream)
    assert nonces() == [0, 1]
    ((_, aside),) = stream.xrange(REJECTED)
    assert aside[b"entry"] == bad
    assert b"unreadable" in aside[b"why"]
    assert next(iter(fields)).encode() in aside
    assert f"put aside id={bad.decode()}" in caplog.text
    assert stream.xlen(STREAM) == 0


def test_a_row_against_the_database_s_own_rules_is_put_aside_and_not_lost_in_silence(
    stream: redis.Redis, digits: Application
) -> None:
    add(stream, event(digits, 0), event(digits, 1, label=""), event(digits, 2))
    drain(stream)
    assert nonces() == [0, 2]
    ((_, aside),) = stream.xrange(REJECTED)
    assert b"feedback_label_or_reward" in aside[b"why"]


def test_between_its_pieces_it_gives_way_with_nothing_held(
    stream: redis.Redis, digits: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persist, "INSERTED_AT_ONCE", 2)
    add(stream, *(event(digits, number) for number in range(5)))
    seen: list[tuple[int, bool]] = []
    persist_feedback(
        stream,
        pause=lambda: seen.append((Feedback.objects.count(), connection.in_atomic_block)),
    )
    assert seen == [(0, False), (2, False), (4, False), (5, False)]


def test_feedback_of_a_deleted_application_is_dropped_with_a_line(
    stream: redis.Redis, digits: Application, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Application.objects.create(name="gone", input_type="doubles")
    add(stream, event(digits, 0), event(gone, 1))
    gone.delete()
    drain(stream)
    assert nonces() == [0]
    assert "feedback of deleted applications dropped count=1" in caplog.text
    assert stream.xlen(STREAM) == stream.xlen(REJECTED) == 0


# --- draining -------------------------------------------------------------------------------


def test_it_drains_the_stream_and_frees_its_lock(
    stream: redis.Redis,
    digits: Application,
    server_redis: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    add(stream, *(event(digits, number) for number in range(1200)))
    assert drain_feedback() == 1200
    assert Feedback.objects.count() == 1200
    assert not stream.exists("clipper:feedback:lock")
    assert "feedback persisted entries=1200" in caplog.text


def test_a_second_run_does_not_overlap_the_first(
    stream: redis.Redis, digits: Application, server_redis: redis.Redis
) -> None:
    add(stream, event(digits))
    with stream.lock("clipper:feedback:lock", timeout=30):
        assert drain_feedback() == 0
    assert nonces() == []
    assert drain_feedback() == 1


def test_a_run_that_loses_its_lock_leaves_the_rest_to_the_next(
    stream: redis.Redis,
    digits: Application,
    server_redis: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose(redis: redis.Redis, *, pause: Callable[[], None]) -> int:
        moved = persist_feedback(redis, pause=pause)
        redis.delete("clipper:feedback:lock")
        return moved

    monkeypatch.setattr(persist, "persist_feedback", lose)
    add(stream, *(event(digits, number) for number in range(600)))
    assert [drain_feedback(), drain_feedback(), drain_feedback()] == [500, 100, 0]
    assert nonces() == list(range(600))


def test_a_run_ends_while_feedback_keeps_coming(
    stream: redis.Redis,
    digits: Application,
    server_redis: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_more(redis: redis.Redis, *, pause: Callable[[], None]) -> int:
        moved = persist_feedback(redis, pause=pause)
        add(stream, event(digits, 1000 + len(nonces())))
        return moved

    monkeypatch.setattr(persist, "persist_feedback", with_more)
    add(stream, *(event(digits, number) for number in range(520)))
    assert [drain_feedback(), drain_feedback()] == [521, 1]
