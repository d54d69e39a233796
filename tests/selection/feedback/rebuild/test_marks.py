"""A receipt that has counted never counts again, not after Redis lost all that it knew either."""

import time

import pytest

from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.feedback.rebuild.state_rebuild import rebuild
from selection.models import Feedback
from selection.store.redis_keys import seen_key
from tests.selection.live import Live

WINDOW_S = 86_400
FIRST, SECOND = b"first nonce.", b"second nonce"

pytestmark = pytest.mark.django_db(transaction=True)


def now_ms() -> int:
    return int(time.time() * 1000)


def test_after_a_loss_and_a_rebuild_the_same_receipt_counts_no_more(live: Live) -> None:
    assert live.teach(nonce=FIRST, at_ms=now_ms())
    live.force()
    before = live.states()
    live.persist()
    live.lose()
    rebuild(live.stream, live.application)
    assert not live.teach(nonce=FIRST, at_ms=now_ms())
    assert live.states() == before
    assert live.teach(nonce=SECOND, at_ms=now_ms())


def test_one_that_came_again_before_the_rebuild_counts_once(live: Live) -> None:
    live.teach(nonce=FIRST, at_ms=now_ms())
    before = live.states()
    live.persist()
    live.lose()
    assert live.teach(nonce=FIRST, at_ms=now_ms())
    rebuild(live.stream, live.application)
    assert Feedback.objects.count() == 1
    assert live.states()[""][b"rew:svm:1"] == before[""][b"rew:svm:1"]
    assert not live.teach(nonce=FIRST, at_ms=now_ms())


def test_a_mark_lasts_as_long_as_its_receipt_is_taken_and_no_longer(live: Live) -> None:
    hour_ago = now_ms() - 3_600_000
    live.teach(nonce=FIRST, at_ms=hour_ago)
    live.teach(nonce=SECOND, at_ms=now_ms() - (WINDOW_S + SEEN_MARGIN_S) * 1000)
    live.persist()
    live.lose()
    rebuild(live.stream, live.application)
    left_s = WINDOW_S + SEEN_MARGIN_S - 3600
    assert left_s - 60 <= live.stream.ttl(seen_key(FIRST.hex())) <= left_s
    assert not live.stream.exists(seen_key(SECOND.hex()))


def test_a_mark_that_is_there_stays_as_it_is_and_a_dry_run_sets_none(live: Live) -> None:
    live.teach(nonce=FIRST, at_ms=now_ms())
    live.persist()
    live.stream.expire(seen_key(FIRST.hex()), 50)
    rebuild(live.stream, live.application)
    assert 0 < live.stream.ttl(seen_key(FIRST.hex())) <= 50
    live.lose()
    rebuild(live.stream, live.application, dry_run=True)
    assert not live.stream.exists(seen_key(FIRST.hex()))
