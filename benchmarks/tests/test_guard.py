"""The guard measures every kind of query, and says which became too dear."""

from benchmarks.frames import Frame
from benchmarks.guard import BOUNDS, IN_FLIGHT, STUDY, costs, targets


async def test_it_measures_every_kind_of_query() -> None:
    seen = await costs(rounds=1, queries=IN_FLIGHT)
    assert seen.keys() == BOUNDS.keys()
    assert all(cost > 0.0 for cost in seen.values())


def table(echoes: dict[str, float]) -> Frame:
    return Frame([{"kind": kind, "echoes": seen} for kind, seen in echoes.items()])


def test_it_says_what_is_too_dear_and_fails_then() -> None:
    assert all(target.holds for target in targets(table(BOUNDS)))
    dear = table(BOUNDS | {"misses": 2.0 * BOUNDS["misses"]})
    (missed,) = (target for target in targets(dear) if not target.holds)
    assert "misses," in missed.what
    assert STUDY.strict
