"""Marks in Redis of receipts that have counted, which keep them from counting again: restored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

import redis

from core.specs import ApplicationSpec
from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.kinds import INPUT
from selection.models import Feedback
from selection.store.redis_keys import seen_key

MARKED_AT_ONCE = 1000


class KnownReceipt(NamedTuple):
    """A receipt that has counted, by its nonce."""

    nonce: str
    issued_at: datetime


def restore_marks(client: redis.Redis, application: ApplicationSpec) -> None:
    """Mark the receipts in the table that callers could still send; those marked already stay."""
    now = datetime.now(UTC)
    life = timedelta(seconds=application.feedback_window_s + SEEN_MARGIN_S)
    counted = _counted(application.id, since=now - life)
    while some := list(islice(counted, MARKED_AT_ONCE)):
        with client.pipeline(transaction=False) as pipe:
            for receipt in some:
                left_s = (receipt.issued_at + life - now).total_seconds()
                if left_s >= 1.0:
                    pipe.set(seen_key(receipt.nonce), "1", nx=True, ex=int(left_s))
            pipe.execute()


def _counted(application_id: int, *, since: datetime) -> Iterator[KnownReceipt]:
    # By when feedback came, which has an index; no receipt was issued after that.
    rows = (
        Feedback.objects.filter(application_id=application_id, received_at__gte=since)
        .exclude(kind=INPUT)  # nobody has a receipt of those
        .order_by()
        .values_list("nonce", "issued_at")
    )
    return (KnownReceipt(*row) for row in rows.iterator(chunk_size=MARKED_AT_ONCE))
