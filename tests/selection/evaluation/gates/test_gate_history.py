"""Gates over stored feedback find a worse version, and no equal one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from selection.evaluation.gate_history import retrospect

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def stored(number: int, *, worse: float, seed: int, both: bool = False) -> Iterator[dict[str, Any]]:
    """Feedback of v2 at 90 % right and v3 that much less, a tenth of the queries to v3."""
    random = Random(seed)
    for place in range(number):
        arms = [{"arm": "m:2", "propensity": 0.9, "loss": float(random.random() < 0.1)}]
        mine = {"arm": "m:3", "propensity": 0.1, "loss": float(random.random() < 0.1 + worse)}
        if both:
            arms.append(mine)
        elif random.random() < 0.1:
            arms = [mine]
        yield {
            "arms": arms,
            "routed": ["m:2", "m:3"],
            "nonce": f"{random.getrandbits(96):024x}",
            "received_at": BEGIN + timedelta(minutes=place),
        }


@pytest.mark.parametrize("both", [False, True])
def test_the_time_and_the_labels_are_those_of_the_proof(both: bool) -> None:
    found = retrospect(stored(5000, worse=0.3, seed=1, both=both), arm="m:3", against="m:2")
    assert found.worse_at == BEGIN + timedelta(minutes=found.labels + found.others - 1)
    assert found.labels + found.others < 1500


def test_equal_versions_are_hardly_ever_found_worse() -> None:
    found = [
        retrospect(stored(1000, worse=0.0, seed=seed), arm="m:3", against="m:2")
        for seed in range(20)
    ]
    assert sum(one.worse_at is not None for one in found) <= 1


def test_without_a_known_chance_nothing_is_counted() -> None:
    rows = [row | {"routed": ["m:1", "m:2", "m:3"]} for row in stored(500, worse=0.9, seed=3)]
    assert retrospect(rows, arm="m:3", against="m:2") == (0, 0, None)
