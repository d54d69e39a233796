"""Each query leaves behind, for every arm that the policy asked, how its call ended."""

import asyncio

from serving.testing import PlayedServing, application_spec, connect, turn, version_spec


def counts(it: PlayedServing) -> dict[str, tuple[int, ...]]:
    """Asked, answered, late, failed, refused: by arm."""
    arms = it.metrics.of_application("digits").arms()
    return {arm: tuple(numbers.values()) for arm, numbers in arms.items()}


async def test_arms_that_answer_fail_or_take_too_long_are_told_apart() -> None:
    it = PlayedServing(application_spec(slo_ms=300.0))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    replicas[0].answer({b"[1]": b"7"})
    replicas[1].fail()
    await asyncio.wait_for(query.settled(), timeout=30)
    query.prediction()

    assert counts(it) == {"m1:1": (1, 1, 0, 0, 0), "m2:1": (1, 0, 0, 1, 0), "m3:1": (1, 0, 1, 0, 0)}


async def test_a_version_that_its_caller_chose_is_not_the_policys_doing() -> None:
    it = PlayedServing(application_spec(slo_ms=20.0))
    connect(it.engine, version_id=2)
    query = it.begin(version=version_spec(2))
    await query.settled()
    query.prediction()

    assert counts(it) == {}
