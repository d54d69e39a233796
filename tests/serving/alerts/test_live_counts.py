"""Live counts: an outage begins with the first query without an answer, and ends with one."""

from typing import Any

from serving.alerts.live_counts import LiveCounts
from serving.engine.stats import LATENCY_BOUNDS, Histogram


def document(
    *, process: str = "a", queries: int = 0, defaults: int = 0, seconds: float = 0.0, **counts: int
) -> dict[str, Any]:
    times = Histogram(LATENCY_BOUNDS)
    for _ in range(counts.get("calls", 0)):
        times.observe(seconds)
    causes = ("unconnected", "overloaded", "timed_out", "failed")
    return {
        "id": process,
        "applications": {
            "digits": {
                "queries": queries,
                "defaults": defaults,
                **{name: counts.get(name, 0) for name in causes},
            }
        },
        "versions": {
            "knn:1": {
                **{"misses": counts.get("calls", 0), "joined": 0, "lost": 0, "quarantined": 0},
                **{"failed": counts.get("failed", 0), "model_seconds": times.published()},
            }
        },
    }


def unanswered(*looks: list[dict[str, Any]]) -> dict[str, int]:
    live = LiveCounts()
    for at, documents in enumerate(looks):
        live.look(documents, now=float(at))
    counts = live.unanswered("digits", now=float(len(looks)))
    return {cause: number for cause, number in counts.items() if number}


def test_what_was_counted_before_the_first_look_is_no_outage() -> None:
    assert unanswered([document(failed=50)]) == {}


def test_queries_without_an_answer_add_up_over_looks_and_processes() -> None:
    first = [document(queries=10), document(process="b")]
    second = [document(queries=10, failed=2), document(process="b", timed_out=1)]
    third = [document(queries=10, failed=4), document(process="b", timed_out=1)]
    assert unanswered(first, second, third) == {"failed": 4, "timed_out": 1}


def test_defaults_are_no_answers_of_a_model() -> None:
    before = [document(queries=10)]
    assert unanswered(before, [document(queries=16, defaults=6, unconnected=6)]) == {
        "unconnected": 6
    }


def test_one_answer_ends_an_outage() -> None:
    looks = [[document(failed=n, queries=n // 9)] for n in (0, 5, 9)]
    assert unanswered(*looks[:2]) == {"failed": 5}
    assert unanswered(*looks) == {}


def test_a_process_that_began_anew_is_counted_from_nothing() -> None:
    assert unanswered([document(failed=90)], [document(failed=3)]) == {"failed": 3}


def test_an_outage_that_nobody_asks_about_any_more_is_forgotten() -> None:
    live = LiveCounts()
    live.look([document()], now=0.0)
    live.look([document(failed=9)], now=1.0)
    assert live.unanswered("digits", now=100.0)["failed"] == 9
    assert live.unanswered("digits", now=700.0) == {}


def test_versions_are_counted_over_the_last_minute() -> None:
    live = LiveCounts()
    live.look([document()], now=0.0)
    live.look([document(calls=10, failed=4, seconds=0.2)], now=1.0)
    found = live.versions()["knn:1"]
    assert (found["failed"], found["calls"]) == (4, 10)
    assert 150 < found["model_ms"] < 250
    live.look([document(calls=10, failed=4, seconds=0.2)], now=62.0)
    assert live.versions() == {}
