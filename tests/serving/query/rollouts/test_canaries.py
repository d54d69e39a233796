"""A canary takes the place of a live version by its share; clients are answered all the same."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count as counter
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from core.errors import ClipperError
from selection.receipts import Receipt, RolloutDraw
from serving.engine.outcome import Outcome, Status
from serving.metrics.rollout_rows import AGREEMENT, ERRORS, GOOD, LATENESS, MOST_CLASSES, OTHERS
from serving.query.prediction import Prediction
from serving.query.rollouts.gate_counts import GateCounts
from serving.query.rollouts.shadows import MOST_OPEN
from serving.rpc.frames.codec import Answer, AnswerStatus, failed
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    connect,
    routes_to,
    snapshot_of,
    turn,
    version_spec,
)

LIVE, NEW = Answer(AnswerStatus.OK, b"7"), Answer(AnswerStatus.OK, b"8")
REFUSAL = Answer(AnswerStatus.INVALID_INPUT, b"expected 32 numbers, got 64")
FAILURE = failed("RuntimeError: boom")
PEOPLE = counter()


class Rollout:
    """Model `m1`, live in version 1, with version 2 (id 4) as its canary."""

    def __init__(
        self, *, share: float, hedged: bool = True, shadow_share: float = 0.0, **changes: Any
    ) -> None:
        spec = {"policy": "static", "routes": routes_to(1), "cache": False} | changes
        self.serving = PlayedServing(application_spec(**spec), queue_capacity=10_000)
        self.shadow_share = shadow_share
        self.behaviours: dict[int, Answer | None] = {1: LIVE, 4: NEW}
        self.replicas: dict[int, PlayedReplica] = {1: connect(self.serving.engine, version_id=1)}
        self.canary = version_spec(4, model_id=1, model="m1", version="2")
        self.go(share=share, hedged=hedged)
        self.replicas[4] = connect(self.serving.engine, version_id=4)
        self.serving.router.refresh()

    def go(self, *, share: float, hedged: bool = True, rollout_id: int | None = 9) -> None:
        known = snapshot_of(
            self.serving.application,
            versions=[version_spec(1), version_spec(2, cost=9.0), version_spec(3)],
        )
        model = replace(
            known.models[1],
            rollout_id=rollout_id,
            canary_version_id=4 if rollout_id else None,
            canary_share=share,
            canary_hedged=hedged,
            shadow_share=self.shadow_share,
        )
        self.serving.apply(
            replace(
                known,
                models={**known.models, 1: model},
                versions={**known.versions, 4: self.canary},
                versions_by_arm={**known.versions_by_arm, "m1:2": self.canary},
            )
        )

    async def ask(self, **options: Any) -> Prediction:
        query = self.serving.begin(**options)
        settled = asyncio.create_task(query.settled())
        await turn()
        for _ in range(3):  # a stand-in is asked once the canary has failed
            for version_id, replica in self.replicas.items():
                behaviour = self.behaviours[version_id]
                while replica.batches and behaviour is not None:
                    replica.answer_with(*[behaviour] * replica.sizes[0])
            await turn()
        await settled
        return query.prediction()

    def receipt(self, answer: Prediction) -> Receipt:
        return self.serving.signer.verify(answer.query_id)

    @property
    def counted(self) -> Counter[tuple[str, bool]]:
        """Return how many calls ended so, by gate and whether the canary was asked."""
        found: Counter[tuple[str, bool]] = Counter()
        for row, count in self.serving.processor.resources.gates.waiting.items():
            found[row.gate, row.canary] += count
        return found


class Away:
    """A Redis that is away; meanwhile something happens."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile = meanwhile

    def pipeline(self, **options: Any) -> Any:
        self.meanwhile()
        raise ConnectionError


def note_people(world: Rollout, number: int) -> None:
    """Have so many more people meet a canary that fails."""
    gates, outcome = world.serving.processor.resources.gates, Outcome(Status.MODEL_FAILED, b"boom")
    for _ in range(number):
        draw = RolloutDraw(9, "m1:2", "m1:1", 0.5, True, f"person {next(PEOPLE)}")
        how: dict[str, Any] = {"outcome": outcome, "accepted": True, "hurried": False}
        gates.note_call(world.serving.application, draw, input=b"[1]", **how)


async def test_the_share_is_drawn_and_logged() -> None:
    world = Rollout(share=0.3)
    answers = [await world.ask() for _ in range(400)]
    receipts = [world.receipt(answer) for answer in answers]
    taken = [receipt for receipt in receipts if receipt.rollouts[0].taken]

    assert 80 <= len(taken) <= 160  # 120 expected
    assert {r.arms[0].arm for r in taken} == {"m1:2"}
    assert {r.arms[0].propensity for r in taken} == {0.3}
    assert all(receipt.forced == receipt.rollouts[0].taken for receipt in receipts)
    assert Counter(answer.output for answer in answers) == {
        b"8": len(taken),
        b"7": 400 - len(taken),
    }
    assert world.counted == {(GOOD, True): len(taken), (GOOD, False): 400 - len(taken)}


@pytest.mark.parametrize(
    ("behaviour", "gate", "hedged"),
    [
        (FAILURE, ERRORS, True),
        (REFUSAL, ERRORS, True),
        (None, LATENESS, True),
        # The live version is asked once it has failed.
        (FAILURE, ERRORS, False),
        (REFUSAL, ERRORS, False),
    ],
)
async def test_a_canary_that_fails_costs_no_client_an_answer(
    behaviour: Answer | None, gate: str, hedged: bool
) -> None:
    world = Rollout(share=0.999999, hedged=hedged, slo_ms=60.0)
    world.behaviours[4] = behaviour
    answer = await world.ask()
    receipt = world.receipt(answer)

    assert answer.output == b"7"
    assert answer.default_explanation is None
    assert [(a.arm, a.output) for a in receipt.arms] == [("m1:2", None), ("m1:1", b"7")]
    assert world.counted == {(gate, True): 1}


async def test_a_person_stays_with_one_version_and_shares_only_win_people() -> None:
    world = Rollout(share=0.1)
    people = [f"person {n}" for n in range(200)]

    async def in_canary() -> set[str]:
        answers = {key: await world.ask(key=key) for key in people}
        return {key for key, answer in answers.items() if answer.output == b"8"}

    first = await in_canary()
    assert first == await in_canary()
    world.go(share=0.5)
    second = await in_canary()
    assert 5 <= len(first) < len(second)
    assert first <= second


async def test_an_ensemble_hears_the_canary_in_the_place_of_its_model() -> None:
    world = Rollout(share=0.999999, policy="exp4", routes=routes_to(1, 2))
    world.replicas[2] = connect(world.serving.engine, version_id=2)
    world.behaviours[2] = NEW
    answer = await world.ask()

    assert answer.output == b"8"
    assert answer.confidence == 1.0


async def test_no_canary_is_asked_without_a_link_or_after_its_rollout() -> None:
    world = Rollout(share=0.999999)
    world.replicas.pop(4).die()
    world.serving.router.refresh()
    assert (await world.ask()).output == b"7"
    world = Rollout(share=0.999999)
    world.go(share=0.0, rollout_id=None)
    answer = await world.ask()
    assert answer.output == b"7"
    assert world.receipt(answer).rollouts == ()


async def test_a_version_that_is_named_or_tried_is_no_part_of_a_rollout() -> None:
    world = Rollout(share=0.5)
    for options in ({"version": world.canary}, {"trial": True}):
        assert world.receipt(await world.ask(**options)).rollouts == ()


@pytest.mark.parametrize(
    ("canary", "output", "arms"),
    [
        (b"[0.95, 0.05]", b"[0.95, 0.05]", [("m1:2", b"[0.95, 0.05]")]),
        (b"[0.6, 0.4]", b"[0, 1]", [("m1:2", b"[0, 1]")]),
        # The live version is unsure in its place.
        (None, b"[0, 1]", [("m1:2", None), ("m1:1", b"[0, 1]")]),
    ],
)
@pytest.mark.parametrize("hedged", [True, False])
async def test_a_cascade_goes_on_from_a_canary_as_from_the_live_version(
    canary: bytes | None, output: bytes, arms: list[tuple[str, bytes | None]], hedged: bool
) -> None:
    cheap, dear = routes_to(1, 2)
    cascade: dict[str, Any] = {"routes": (cheap, replace(dear, weight=0.0)), "cascade_below": 0.9}
    world = Rollout(share=0.999999, hedged=hedged, cost_price=1.0, **cascade)
    world.replicas[2] = connect(world.serving.engine, version_id=2)
    world.behaviours |= {
        1: Answer(AnswerStatus.OK, b"[0.6, 0.4]"),
        2: Answer(AnswerStatus.OK, b"[0, 1]"),
        4: FAILURE if canary is None else Answer(AnswerStatus.OK, canary),
    }
    answer = await world.ask()
    assert answer.output == output
    receipt = world.receipt(answer)
    assert [(a.arm, a.output) for a in receipt.arms] == arms
    paid = [spent.cost for spent in receipt.spent]
    assert len(paid) == len(arms)
    assert paid[:-1] == [0.0] * (len(arms) - 1)


@pytest.mark.parametrize(("new", "gave"), [(FAILURE, 0.0), (NEW, 1.0)])
async def test_a_shadow_of_a_query_that_fails_counts_all_the_same(new: Answer, gave: float) -> None:
    world = Rollout(share=0.0, shadow_share=1.0, default_output=None)
    world.serving.processor.resources.shadows.asked_twice = 0.0
    world.behaviours |= {1: FAILURE, 4: new}
    with pytest.raises(ClipperError):
        await world.ask()
    await turn()
    [(row, number)] = world.serving.processor.resources.gates.waiting.items()
    assert (row.gate, row.canary, row.loss, number) == ("shadow errors", False, gave, 1)


async def test_answers_that_differ_are_shown_without_what_is_redacted() -> None:
    world = Rollout(share=0.0, shadow_share=1.0, capture_redact="ssn")
    resources = world.serving.processor.resources
    resources.shadows.asked_twice = 0.0
    for version_id, y in ((1, b"1"), (4, b"2")):
        output = b'{"ssn":"078-05","y":' + y + b"}"
        world.behaviours[version_id] = Answer(AnswerStatus.OK, output)
    await world.ask()
    await turn()
    [failure] = resources.gates.described
    assert failure.error == '{"ssn":null,"y":1} → {"ssn":null,"y":2}'


async def test_while_redis_is_away_counts_stay_within_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.query.rollouts.gate_counts.MOST_ROWS", 3)
    world = Rollout(share=0.5)
    gates = GateCounts(cast("Redis", Away(lambda: note_people(world, 3))))
    world.serving.processor.resources.gates = gates
    note_people(world, 3)
    with pytest.raises(ConnectionError):
        await gates.flush()
    assert (len(gates.waiting), gates.dropped) == (3, 3)
    assert len(gates.described) == 6


async def test_a_shadow_is_compared_and_has_no_part_in_the_answer() -> None:
    world = Rollout(share=0.0, shadow_share=1.0)
    world.serving.processor.resources.shadows.asked_twice = 0.0
    for behaviour, gates in (
        (NEW, {("shadow agreement", True): 1, ("shadow errors", False): 1}),
        (LIVE, {("shadow agreement", False): 1, ("shadow errors", False): 1}),
        (FAILURE, {("shadow errors", True): 1}),
        (None, {}),  # it hasn't answered yet
    ):
        world.behaviours[4] = behaviour
        before = world.counted
        answer = await world.ask()
        await turn()
        assert (answer.output, list(answer.models)) == (b"7", ["m1:1"])
        receipt = world.receipt(answer)
        assert [(draw.chance, draw.taken) for draw in receipt.rollouts] == [(0.0, False)]
        assert not receipt.forced
        assert world.counted - before == Counter(gates)


async def test_a_shadow_s_row_has_the_live_version_s_answer_if_that_is_one_of_few() -> None:
    world = Rollout(share=0.0, shadow_share=1.0)
    world.serving.processor.resources.shadows.asked_twice = 0.0
    outputs = [b'"%d"' % number for number in range(MOST_CLASSES + 2)] + [b'"0"', b"7" * 25]
    for output in outputs:
        world.behaviours[1] = Answer(AnswerStatus.OK, output)
        await world.ask()
        await turn()
    rows = world.serving.processor.resources.gates.waiting
    told = {row.person: count for row, count in rows.items() if row.gate == AGREEMENT}
    assert len(told) == MOST_CLASSES + 1
    assert (told['"0"'], told[OTHERS]) == (2, 3)


async def test_shadows_beyond_their_bound_are_dropped() -> None:
    world = Rollout(share=0.0, shadow_share=1.0)
    world.behaviours[4] = None
    shadows = world.serving.processor.resources.shadows
    shadows.open = MOST_OPEN
    receipt = world.receipt(await world.ask())
    assert receipt.rollouts == ()
    assert world.counted == {("shadow dropped", False): 1}
