"""Named sets outlive retention, within bounds; what is erased is gone from them too."""

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from core.errors import BadRequest, Conflict, Unavailable
from registry.models import Application, AuditEntry
from registry.services import Actor
from selection.models import Feedback
from serving.capture import drain, segments, services
from serving.capture.drain import drain_captured, prune_captured
from serving.capture.models import CapturedInput, chosen_rows
from serving.capture.services import drop_set, erase_captured, keep_as_set
from tests.serving.capture.test_drain import capture, write

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("server_redis")]
BY = Actor.of_command("test")


@pytest.fixture
def digits(redis_socket: str) -> Application:
    made = Application.objects.create(name="digits", input_type="doubles", pk=1)
    capture(redis_socket, "[1]", "[2]", "[3]")
    return made


def test_a_set_outlives_retention_until_it_is_dropped(digits: Application) -> None:
    newest = CapturedInput.objects.latest("pk")
    rows = chosen_rows(digits.pk).filter(pk=newest.pk)
    assert keep_as_set(digits, rows, name="golden", by=BY) == 1
    with pytest.raises(BadRequest, match="none"):
        keep_as_set(digits, rows, name="other", by=BY)
    CapturedInput.objects.update(at=timezone.now() - timedelta(days=400))
    assert prune_captured() == 2
    assert list(chosen_rows(digits.pk, set_name="golden")) == [newest]
    assert drop_set(digits, name="golden", by=BY) == 1
    assert prune_captured() == 1


def test_sets_are_bounded(digits: Application) -> None:
    digits.capture_bytes = 1200
    with pytest.raises(Conflict, match="bytes"):
        keep_as_set(digits, chosen_rows(digits.pk), name="all", by=BY)
    with pytest.raises(BadRequest, match="name"):
        keep_as_set(digits, chosen_rows(digits.pk), name=" ", by=BY)


def test_all_rows_of_a_key_are_erased_wherever_they_are(
    digits: Application, redis_socket: str
) -> None:
    capture(redis_socket, "[4]", key="ada")
    mine = chosen_rows(digits.pk).filter(key="ada")
    keep_as_set(digits, mine, name="golden", by=BY)
    write(redis_socket, "[5]", key="ada")
    # One of an earlier release, whose key only its feedback has.
    earlier = CapturedInput.objects.earliest("pk")
    CapturedInput.objects.filter(pk=earlier.pk).update(nonce="ab" * 12)
    fields: dict[str, Any] = {"issued_at": timezone.now(), "received_at": timezone.now()}
    Feedback.objects.create(
        application=digits, nonce="ab" * 12, key="ada", kind="receipt", label="1", arms=[], **fields
    )
    assert erase_captured(digits, key="ada", by=BY) == 3
    assert not mine.exists()
    assert (drain_captured(), CapturedInput.objects.count()) == (0, 2)
    entry = AuditEntry.objects.latest("id")
    assert "ada" not in str(entry.changes)
    assert erase_captured(digits, context="nobody", by=BY) == 0


@pytest.mark.parametrize("lock", [drain.LOCK, segments.LOCK])
def test_nothing_is_called_erased_while_rows_or_files_are_moved_elsewhere(
    digits: Application,
    redis_socket: str,
    server_redis: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    lock: str,
) -> None:
    monkeypatch.setattr(services, "WAIT_S", 0.1)
    write(redis_socket, "[5]", key="ada")
    with server_redis.lock(lock, timeout=30), pytest.raises(Unavailable):
        erase_captured(digits, key="ada", by=BY)
    assert not AuditEntry.objects.exists()
    assert erase_captured(digits, key="ada", by=BY) == 1
