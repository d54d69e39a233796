"""Old feedback leaves the table; what was learned from it stays, to the bit."""

import time
from typing import Any

import pytest
from django.db.models import F

from core.errors import Conflict
from core.specs import ApplicationSpec
from registry import services
from registry.following.reading import application_spec
from registry.models import Application
from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.feedback.persistence.resets import reset
from selection.feedback.persistence.stream import PLACE_BITS
from selection.feedback.rebuild import state_rebuild as rebuilding
from selection.feedback.rebuild.pruning import oldest_kept, prune, prune_old_feedback
from selection.feedback.rebuild.replay_source import from_database
from selection.feedback.rebuild.state_rebuild import rebuild
from selection.models import Feedback, StateCheckpoint
from serving.testing import application_spec as a_spec
from tests.selection.live import Live

pytestmark = pytest.mark.django_db(transaction=True)
DAY_S = 86_400


def spec_of(live: Live) -> ApplicationSpec:
    return application_spec(Application.objects.with_everything().get(pk=live.application.pk))


def teach_a_lot(live: Live) -> None:
    """Contexts that give way, a new version, late labels and resets."""
    for number in range(60):
        live.teach(
            {("svm:1", "svm:2", "knn:1")[number % 3]: number % 7 / 7},
            context=("", "ann", "bob", "cid", "dan")[number % 5],
            routed=("svm:1", "knn:1") if number < 30 else ("svm:2", "knn:1"),
            max_contexts=3,
        )
        if number in (7, 41):
            reset(live.stream, live.application, context="ann", by="a test")
        if number == 21:
            reset(live.stream, live.application, context=None, by="a test")
    live.persist()


def position_of_row(number: int) -> int:
    return Feedback.objects.order_by("position").values_list("position", flat=True)[number]


@pytest.mark.parametrize("cuts", [(1,), (60,), (10, 25, 40)])
def test_a_rebuild_comes_to_the_same_whatever_was_pruned(live: Live, cuts: tuple[int, ...]) -> None:
    teach_a_lot(live)
    before = live.states()
    end = position_of_row(59) + 1
    places = [position_of_row(cut) if cut < 60 else end for cut in cuts]
    for place in places:
        list(prune(spec_of(live), before=place, at_once=7))
        assert not Feedback.objects.filter(position__lt=place).exists()
    assert Feedback.objects.count() == 60 - cuts[-1]
    assert rebuild(live.stream, live.application, dry_run=True).differing == ()
    live.lose()
    rebuild(live.stream, live.application)
    assert live.states() == before


def test_what_is_reset_after_it_stays_forgotten(live: Live) -> None:
    live.teach()
    live.teach(context="ann")
    live.persist()
    list(prune(spec_of(live), before=position_of_row(1) + 1))
    reset(live.stream, live.application, context=None, by="a test")
    live.teach()
    live.persist()
    before = live.states()
    rebuild(live.stream, live.application)
    assert set(live.states()) == {""}
    assert live.states() == before
    list(prune(spec_of(live), before=position_of_row(0) + 1))
    assert set(StateCheckpoint.objects.values_list("context", flat=True)) == {""}


def test_a_rebuild_that_feedback_is_pruned_under_says_so(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach_a_lot(live)
    before = live.states()

    def late(*args: Any, **kwargs: Any) -> Any:
        list(prune(spec_of(live), before=position_of_row(10)))
        monkeypatch.undo()
        return from_database(*args, **kwargs)

    monkeypatch.setattr(rebuilding, "from_database", late)
    with pytest.raises(Conflict, match="pruned meanwhile"):
        rebuild(live.stream, live.application)
    assert live.states() == before
    assert rebuild(live.stream, live.application, dry_run=True).differing == ()


def test_the_round_prunes_by_what_each_application_keeps(live: Live) -> None:
    other = services.create_application(
        name="other", input_type="doubles", slo_ms=50.0, by=services.SYSTEM
    )
    for taught in (live, Live(live.stream, live.socket, other)):
        taught.teach()
        taught.teach()
    live.persist()
    last = Feedback.objects.filter(application=live.application).last()
    assert last is not None
    three_days = 3 * DAY_S * 1000 << PLACE_BITS
    Feedback.objects.exclude(pk=last.pk).update(position=F("position") - three_days)
    assert prune_old_feedback() == 0
    Application.objects.filter(name="digits").update(keep_feedback_s=2 * DAY_S)
    assert prune_old_feedback() == 1
    assert list(Feedback.objects.filter(application=live.application)) == [last]
    assert Feedback.objects.filter(application=other).count() == 2
    assert prune_old_feedback() == 0


def test_what_could_be_sent_again_stays() -> None:
    now = time.time()
    kept = a_spec(keep_feedback_s=60, feedback_window_s=DAY_S)
    position = oldest_kept(kept, now=now)
    assert position is not None
    assert now - (position >> PLACE_BITS) / 1000 == pytest.approx(DAY_S + SEEN_MARGIN_S, abs=0.01)
    assert oldest_kept(a_spec(), now=now) is None
