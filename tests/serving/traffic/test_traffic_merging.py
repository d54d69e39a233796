"""Each query is in the history once, whatever restarts, and stays there as rows are merged."""

from collections import Counter
from datetime import timedelta
from random import Random

import pytest

from registry import services
from serving.metrics.outcomes import QueryEnding
from serving.traffic.history import Point, totals, traffic
from serving.traffic.merging import KEPT, merge, thin
from serving.traffic.models import TrafficReading, TrafficRow
from tests.serving.traffic.counting import NOON, Counted

pytestmark = pytest.mark.django_db


@pytest.fixture
def counted() -> Counted:
    return Counted()


def whole(counted: Counted) -> Point:
    since, until = NOON - timedelta(days=1), counted.now + timedelta(seconds=1)
    return totals(counted.application, since=since, until=until)


def outcomes(counted: Counted) -> Counter[str]:
    return Counter({name: n for name, n in whole(counted).counts.by_outcome().items() if n})


def test_a_million_queries_are_counted_exactly_over_restarts_of_processes_and_of_control(
    counted: Counted,
) -> None:
    random = Random(7)
    counted.start()
    counted.start()
    for round_ in range(50):
        for process in counted.processes:
            counted.answer_any(process, number=10_000, random=random)
        lost = counted.documents()  # read by a control worker that dies before it commits
        counted.merge()
        merge(lost, now=counted.now)  # its successor reads late what was read before
        if round_ % 7 == 3:
            counted.processes.pop(0)
            counted.start()

    assert counted.seen.total() - counted.seen["abstained"] == 1_000_000
    assert outcomes(counted) == counted.seen
    good, bad = counted.seen["good"], whole(counted).counts.bad
    assert whole(counted).counts.total == good + bad == 1_000_000 - counted.seen["invalid"]


def test_a_document_is_counted_once_however_often_it_is_read(counted: Counted) -> None:
    counted.answer(counted.start())
    documents = counted.documents()
    assert merge(documents, now=NOON) == 1
    assert merge(documents, now=NOON) == 0
    assert outcomes(counted) == {"good": 1}


def test_what_comes_out_of_order_is_counted_once(counted: Counted) -> None:
    process = counted.start()
    counted.answer(process)
    older = counted.documents()
    counted.answer(process)
    counted.merge()
    merge(older, now=counted.now)
    counted.merge()
    assert outcomes(counted) == {"good": 2}


@pytest.mark.parametrize(
    "ending", [e for e in QueryEnding if e not in (QueryEnding.SLOW, QueryEnding.INVALID)]
)
def test_a_default_and_an_error_have_the_same_outcome(
    counted: Counted, ending: QueryEnding
) -> None:
    process = counted.start()
    counted.answer(process, default=ending)
    if ending is not QueryEnding.ABSTAINED:
        counted.answer(process, error=ending)
    counted.merge()
    assert outcomes(counted) == counted.seen


def test_a_default_for_low_confidence_is_bad_only_after_the_objective(counted: Counted) -> None:
    process = counted.start()
    counted.answer(process, default=QueryEnding.ABSTAINED)
    counted.answer(process, default=QueryEnding.ABSTAINED, seconds=1.0)
    counted.merge()
    assert outcomes(counted) == {"good": 1, "abstained": 1, "late": 1}


def test_each_version_has_the_queries_in_which_it_was_asked(counted: Counted) -> None:
    process = counted.start()
    counted.answer(process, arms=("svm:1", "mlp:2"))
    counted.answer(process, arms=("mlp:2",), default=QueryEnding.FAILED)
    process.of_application("digits").count_arms(("mlp:2",), [None])
    counted.merge()
    versions = whole(counted).versions
    assert {arm: (v.good, v.failed) for arm, v in versions.items()} == {
        "svm:1": (1, 0),
        "mlp:2": (1, 1),
    }
    assert versions["mlp:2"].calls == [1, 0, 1, 0, 0]
    assert sum(versions["mlp:2"].latency) == 2


def test_the_last_counts_of_a_version_that_is_gone_are_published_before_they_go(
    counted: Counted,
) -> None:
    process = counted.start()
    counted.answer(process)
    process.forget(["digits"], arms_of={"digits": {"mlp:2"}}.get)
    assert process.of_application("digits").arms() == {}
    for _ in range(3):
        counted.merge()
        process.note_published(process.traffic())
    assert whole(counted).versions["svm:1"].good == 1
    assert process.of_application("digits").endings == {}
    counted.answer(process)  # it comes back, and counts from 0
    counted.merge()
    assert whole(counted).versions["svm:1"].good == 2


def test_a_process_that_is_killed_leaves_a_gap_where_it_answered_lately(counted: Counted) -> None:
    idle = services.create_application(
        name="idle", input_type="doubles", slo_ms=50, by=services.SYSTEM
    )
    process = counted.start()
    process.of_application("idle")
    counted.answer(process)
    counted.merge()
    counted.merge(gone={process.process_id})
    assert whole(counted).gaps == 1
    assert totals(idle, since=NOON, until=counted.now + timedelta(seconds=9)).gaps == 0


def test_a_process_that_leaves_leaves_no_gap(counted: Counted) -> None:
    process = counted.start()
    counted.answer(process)
    merge(counted.documents(left=True), now=NOON, gone={process.process_id})
    assert whole(counted).gaps == 0


def test_counts_of_an_application_that_is_deleted_disturb_no_other(counted: Counted) -> None:
    other = Counted("other")
    process = counted.start()
    other.processes.append(process)
    counted.answer(process)
    other.answer(process)
    counted.application.delete()
    other.merge()
    assert outcomes(other) == {"good": 1}


# --- rows that grow old, and points -------------------------------------------------------------


def test_rows_are_merged_as_they_grow_old_and_nothing_is_lost(counted: Counted) -> None:
    process, random = counted.start(), Random(3)
    for _ in range(40):
        counted.answer_any(process, number=50, random=random)
        counted.merge(after_s=7.0)
    before = whole(counted)
    steps = []
    for days in (0, 0.05, 1.1, 31):
        thin(now=counted.now + timedelta(days=days))
        assert whole(counted) == before
        steps.append(set(TrafficRow.objects.values_list("step_s", flat=True)))
    assert steps == [{10}, {60}, {600}, {3600}]
    thin(now=counted.now + KEPT + timedelta(hours=1))
    assert not TrafficRow.objects.exists()


def test_readings_of_processes_long_gone_are_forgotten(counted: Counted) -> None:
    process = counted.start()
    counted.answer(process)
    counted.merge()
    thin(now=counted.now + timedelta(days=8), living=[process.process_id])
    assert TrafficReading.objects.exists()
    thin(now=counted.now + timedelta(days=8))
    assert not TrafficReading.objects.exists()


def test_a_point_for_each_step_and_the_last_one_as_long_as_it_lasts(counted: Counted) -> None:
    process = counted.start()
    for _ in range(3):
        counted.answer(process)
        counted.answer(process, seconds=0.1)
        counted.merge(after_s=10.0)
    points = traffic(counted.application, since=NOON, until=NOON + timedelta(seconds=34))
    assert [point.counts.total for point in points] == [0, 2, 2, 2]
    assert [point.seconds for point in points] == [10.0, 10.0, 10.0, 4.0]
    assert points[3].rate == 0.5
    p50, p99 = points[1].counts.quantile_ms(0.5), points[1].counts.quantile_ms(0.99)
    assert (p50, p99) == (pytest.approx(10.0, rel=0.25), pytest.approx(100.0, rel=0.25))
