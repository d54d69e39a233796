"""Rebuild of learned state from the table: exact to the bit, and while feedback goes on."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from core.errors import Conflict
from selection.feedback.persistence.resets import reset
from selection.feedback.rebuild import state_rebuild as rebuilding
from selection.feedback.rebuild import state_swap
from selection.feedback.rebuild.state_rebuild import rebuild
from selection.models import Feedback
from selection.store.redis_keys import contexts_key, state_key
from tests.selection.live import Live

pytestmark = pytest.mark.django_db(transaction=True)


def test_after_it_live_feedback_goes_on_as_if_nothing_had_been(live: Live) -> None:
    for context in ("", "ann", ""):
        live.teach(context=context)
    live.persist()
    live.lose()
    rebuild(live.stream, live.application)
    live.teach({"knn:1": 0.5}, context="ann", routed=("svm:1", "knn:1", "tree:1"))
    assert rebuild(live.stream, live.application, dry_run=True).differing == ()


def test_a_dry_run_says_what_differs_and_writes_nothing(live: Live) -> None:
    live.teach(context="ann")
    live.stream.hset(state_key(live.application.pk, "ann"), "n:svm:1", 9)
    before = live.states()
    assert rebuild(live.stream, live.application, dry_run=True).differing == ("ann",)
    assert live.states() == before
    rebuild(live.stream, live.application)
    assert live.states()["ann"][b"n:svm:1"] == b"1"


def test_what_is_no_longer_in_the_table_is_no_longer_known(live: Live) -> None:
    live.teach()
    live.teach(context="ann")
    live.ask("ann")
    live.persist()
    Feedback.objects.filter(context="ann").delete()
    assert rebuild(live.stream, live.application).differing == ("ann", "")
    assert set(live.states()) == {""}
    assert live.states()[""][b"n:svm:1"] == b"1"
    assert live.stream.zcard(contexts_key(live.application.pk)) == 0
    key = state_key(live.application.pk, "ann")
    assert live.stream.hgetall(key) == {b"q:svm:1": b"1"}
    assert 0 < live.stream.ttl(key) <= 3600


def test_counts_of_queries_stay_and_contexts_keep_their_place(live: Live) -> None:
    live.teach(context="ann")
    live.teach(context="bob", at_ms=1_700_000_002_000)
    live.ask("ann")
    order = live.stream.zrange(contexts_key(live.application.pk), 0, -1, withscores=True)
    rebuild(live.stream, live.application)
    assert live.stream.hget(state_key(live.application.pk, "ann"), "q:svm:1") == b"1"
    assert order == live.stream.zrange(contexts_key(live.application.pk), 0, -1, withscores=True)
    assert live.stream.ttl(state_key(live.application.pk, "bob")) > 86_400


# --- while feedback goes on -------------------------------------------------------------------


class Interrupted:
    """Has feedback come just before each of the first writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, live: Live, *, times: int) -> None:
        self.left = times
        exchange = state_swap.exchange

        def late(*args: Any, **kwargs: Any) -> dict[str, bool] | None:
            if self.left:
                self.left -= 1
                live.teach(context=("", "ann", "new")[self.left % 3])
            return exchange(*args, **kwargs)

        monkeypatch.setattr(rebuilding, "exchange", late)


def test_feedback_that_comes_before_a_write_is_followed_and_not_lost(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        live.teach(context=f"user-{number}")
    live.persist()
    live.lose()
    Interrupted(monkeypatch, live, times=9)
    assert rebuild(live.stream, live.application).observed == 29
    assert rebuild(live.stream, live.application, dry_run=True).differing == ()
    assert len(live.states()) == 23


def test_a_reset_that_comes_before_a_write_is_followed(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.teach(context="ann")
    live.teach()
    exchange, resets = state_swap.exchange, ["ann"]

    def late(*args: Any, **kwargs: Any) -> dict[str, bool] | None:
        if resets:
            reset(live.stream, live.application, context=resets.pop(), by="a test")
        return exchange(*args, **kwargs)

    monkeypatch.setattr(rebuilding, "exchange", late)
    rebuild(live.stream, live.application)
    assert set(live.states()) == {""}


def test_one_that_is_overtaken_for_ever_gives_up_and_has_spoilt_nothing(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.teach(context="ann")
    Interrupted(monkeypatch, live, times=10_000)
    monkeypatch.setattr(rebuilding, "MOST_ATTEMPTS", 5)
    with pytest.raises(Conflict, match="faster than it can be followed"):
        rebuild(live.stream, live.application)
    monkeypatch.undo()
    assert rebuild(live.stream, live.application, dry_run=True).differing == ()


def test_it_waits_for_its_turn_and_says_when_that_does_not_come(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "LOCK_WAIT_S", 0.05)
    with (
        live.stream.lock("clipper:feedback:lock", timeout=30),
        pytest.raises(Conflict, match="persisted elsewhere"),
    ):
        rebuild(live.stream, live.application)


def test_feedback_that_a_dead_process_still_holds_is_waited_for(live: Live) -> None:
    live.teach()
    live.persist()
    live.teach()
    live.stream.xreadgroup("database", "dead", {"clipper:feedback": ">"})
    with pytest.raises(Conflict, match="held by a process that ended"):
        rebuild(live.stream, live.application)


def test_a_rebuild_that_loses_its_turn_stops(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    live.teach()
    exchange = state_swap.exchange

    def lose(*args: Any, **kwargs: Any) -> dict[str, bool] | None:
        live.stream.delete("clipper:feedback:lock")
        return exchange(*args, **kwargs)

    monkeypatch.setattr(rebuilding, "exchange", lose)
    with pytest.raises(Conflict, match="persists feedback meanwhile"):
        rebuild(live.stream, live.application)


# --- the command ------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("rebuild_selection_state", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_rebuilds_every_application_and_says_what_it_did(live: Live) -> None:
    live.teach()
    live.teach(context="ann")
    assert command() == "digits: replayed 2 of feedback in 2 contexts; Redis has the same.\n"
    live.persist()
    live.lose()
    assert "differ in Redis: ann, the global one." in command("--dry-run")
    assert "written: ann, the global one." in command("--application", "digits")


def test_without_redis_the_command_says_so(live: Live, settings: Settings) -> None:
    from tests.redis_server import fresh_redis_client

    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    with fresh_redis_client(), pytest.raises(CommandError, match="Redis does not answer"):
        command()
