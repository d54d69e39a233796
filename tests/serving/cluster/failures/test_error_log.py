"""The last errors of a version: each kind once, counted, and no more than so many."""

from typing import Any

import redis

from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.container.failures.recent_failures import Failure


def a_failure(kind: str = "ValueError at predictor.py:3", **changes: object) -> Failure:
    fields: dict[str, Any] = {
        "error": "ValueError: no",
        "traceback": "line 3",
        "count": 1,
        "last_at": 100.0,
    }
    return Failure(**{"kind": kind, **fields, **changes})


def test_a_kind_of_error_is_there_once_with_how_often_and_when(client: redis.Redis) -> None:
    log = ErrorLog(client)

    log.add(7, [a_failure(count=2)], phase=Phase.SERVE, replica="r1")
    log.add(7, [a_failure(count=3, last_at=200.0)], phase=Phase.SERVE, replica="r2")

    (known,) = log.read(7)
    assert (known.count, known.last_at, known.replica) == (5, 200.0, "r2")
    assert (known.error, known.traceback, known.phase) == ("ValueError: no", "line 3", Phase.SERVE)


def test_the_oldest_give_way_and_all_are_forgotten_in_time(client: redis.Redis) -> None:
    log = ErrorLog(client)

    for number in range(15):
        log.add(7, [a_failure(f"kind {number}", last_at=float(number))], phase=Phase.SERVE)

    assert [known.last_at for known in log.read(7)] == [
        float(number) for number in range(14, 4, -1)
    ]
    assert 0 < client.ttl("clipper:errors:7") <= 3 * 86_400
