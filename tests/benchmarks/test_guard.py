"""The guard measures every kind of query, and says which became too dear."""

from __future__ import annotations

from benchmarks.guard import BOUNDS, IN_FLIGHT, measure, verdict


async def test_it_measures_every_kind_of_query() -> None:
    costs = await measure(rounds=1, queries=IN_FLIGHT)
    assert costs.keys() == BOUNDS.keys()
    assert all(cost > 0.0 for cost in costs.values())


def test_it_says_what_is_too_dear() -> None:
    said: list[str] = []
    assert verdict(dict(BOUNDS), say=said.append) == 0
    dear = BOUNDS | {"misses": 2.0 * BOUNDS["misses"]}
    assert verdict(dear, say=said.append) == 1
    (line,) = [line for line in said[-1].splitlines() if "too dear" in line]
    assert line.startswith("misses ")
