"""The better of two arms breaks, in six ways, and is mended: what each policy makes of it.

    python -m benchmarks.reliability_simulation     all of them, into docs/explanation/policies.md
    python -m benchmarks.reliability_simulation exp3 exp4    only print these

Policy, reliability, receipts and lessons are the real ones; only the models are played. One arm
errs in 5 % of all queries, the other in 15 %. The better one breaks at query 1,000 and is mended
at query 3,000; then come 2,000 more. Without a default output a query without an answer has no
receipt, so that nothing that a broken arm does ever gets feedback; with `receipts` it has one, as
where there is a default output.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from statistics import mean
from typing import NamedTuple

import msgspec

from benchmarks.tables import markdown, replaced
from selection.feedback.events import FeedbackItem
from selection.feedback.joining import from_receipt
from selection.feedback.scoring import losses_of
from selection.learning.update import update_of
from selection.policies import POLICIES, Prepared, Selection, make_policy
from selection.policies.statistics import State, learn
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from selection.reliability import EVERYTHING, Factors, Reliability
from selection.store.codec import prepared
from serving.engine.outcome import REPLICA_LOST, Outcome, Status
from serving.query.charges import charges
from serving.query.second_opinions import drawn_other
from serving.testing.specs import application_spec

ARMS = {"a:1": 1.0, "b:1": 1.0}
PAGE, MARK = Path(__file__).parents[1] / "docs" / "policies.md", "reliability"
BROKEN, FAIR_SHARE = "a:1", 0.5
BREAKS_AT, MENDED_AT, QUERIES = 1_000, 3_000, 5_000
# After the arm broke, and after it was mended.
FALLEN_WITHIN, BACK_WITHIN = 500, 2_000
MOST_WHILE_BROKEN, LEAST_ONCE_MENDED = 0.1, FAIR_SHARE / 2
ERRORS = {"a:1": 0.05, "b:1": 0.15}
SEEDS = range(3)
# A share is the mean of so many queries up to now.
WINDOW = 100
RIGHT, WRONG = b"1", b"0"


class Way(NamedTuple):
    """How an arm is broken: what becomes of a call, known so many queries later."""

    outcome: Outcome | None
    delay: int = 0


WAYS = {
    "refuses": Way(Outcome(Status.INVALID_INPUT, b"expected 32 numbers, got 64")),
    "raises": Way(Outcome(Status.MODEL_FAILED, b"ValueError: no")),
    "late": Way(None, delay=20),
    "hangs": Way(None, delay=100),
    "crashes": Way(REPLICA_LOST, delay=1),
    "nonsense": Way(Outcome(Status.OK, b'"?"')),
}
FEEDBACK = (1.0, 0.1, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    policy: str
    way: str
    feedback: float
    seed: int = 0
    receipts: bool = False


class Result(NamedTuple):
    """The broken arm's part after it had been broken, and after it had been mended, for a while."""

    broken: float
    mended: float

    @property
    def falls(self) -> bool:
        return self.broken < MOST_WHILE_BROKEN

    @property
    def returns(self) -> bool:
        return self.mended > LEAST_ONCE_MENDED


@dataclass(slots=True, kw_only=True)
class Simulation:
    """One application that chooses, is answered and learns, query by query."""

    case: Case
    state: State = field(default_factory=State)
    reliability: Reliability = field(default_factory=Reliability)
    signer: ReceiptSigner = field(default_factory=lambda: ReceiptSigner(b"simulation"))
    _pending: deque[tuple[int, str, Outcome | None]] = field(default_factory=deque)
    _base: Prepared | None = None
    _effective: Prepared | None = None
    _factors: Factors = field(default_factory=lambda: EVERYTHING)

    def run(self) -> Result:
        parts = [self._query(number) for number in range(QUERIES)]
        return Result(
            broken=mean(parts[BREAKS_AT + FALLEN_WITHIN - WINDOW : BREAKS_AT + FALLEN_WITHIN]),
            mended=mean(parts[MENDED_AT + BACK_WITHIN - WINDOW : MENDED_AT + BACK_WITHIN]),
        )

    def _query(self, number: int) -> float:
        """Ask one query; return the broken arm's part in it."""
        self._come_due(number)
        luck = Random(f"{self.case.seed} {number}")
        ready, features = self._prepared(), self._features
        selection = self._selected(ready, luck=luck, number=number)
        outcomes = [self._outcome(arm, number=number, luck=luck) for arm in selection.arms]
        answers = dict(zip(selection.arms, outcomes, strict=True))
        if len(answers) == 1 and _refused(*outcomes):
            second = drawn_other(
                ready.chances(features),
                asked=selection.arms[0],
                may_ask=lambda arm: True,
                uniform=luck.random,
            )
            if second is not None:
                answers[second.arm] = self._outcome(second.arm, number=number, luck=luck)
                selection = Selection((second.arm,), (second.propensity,))
        self._charge(answers, number=number)
        if luck.random() < self.case.feedback:
            self._feed_back(selection, answers, down=ready.down)
        chances = ready.chances(features)
        return (ready.weights if len(selection.arms) > 1 else chances)[BROKEN]

    @property
    def _features(self) -> tuple[float, ...]:
        return (1.0,) if self.case.policy == "linucb" else ()

    def _selected(self, ready: Prepared, *, luck: Random, number: int) -> Selection:
        if POLICIES[self.case.policy].sticky:
            return ready.assigned(f"7:user-{number % 997}", uniform=luck.random())
        return ready.select(luck.random(), self._features)

    def _outcome(self, arm: str, *, number: int, luck: Random) -> Outcome | None:
        if arm == BROKEN and BREAKS_AT <= number < MENDED_AT:
            return WAYS[self.case.way].outcome
        return Outcome(Status.OK, WRONG if luck.random() < ERRORS[arm] else RIGHT)

    def _charge(self, answers: dict[str, Outcome | None], *, number: int) -> None:
        """Charge what is known now; that nothing came is known at the deadline alone."""
        told = charges(tuple(answers), list(answers.values()), hurried=[False] * len(answers))
        for arm, answered in told:
            delay = 0 if answered else WAYS[self.case.way].delay
            if delay:
                self._pending.append((number + delay, arm, answers[arm]))
            else:
                self.reliability.note(arm, answered=answered)

    def _come_due(self, number: int) -> None:
        while self._pending and self._pending[0][0] <= number:
            _, arm, _ = self._pending.popleft()
            self.reliability.note(arm, answered=False)

    def _prepared(self) -> Prepared:
        if self._base is None:
            policy = make_policy(self.case.policy, {})
            self._base, self._effective = prepared(policy, self.state, ARMS), None
        if self._effective is None or self._factors is not self.reliability.factors:
            self._factors = self.reliability.factors
            self._effective = self._base.reweighted(self._factors)
        return self._effective

    def _feed_back(
        self, selection: Selection, answers: dict[str, Outcome | None], *, down: frozenset[str]
    ) -> None:
        outputs = {a: o.payload for a, o in answers.items() if o and o.status == Status.OK}
        if not outputs and not self.case.receipts:
            return  # an error
        receipt = Receipt(
            nonce=b"0" * 12,
            issued_at_ms=0,
            application_id=7,
            context="",
            arms=tuple(
                ArmRecord(arm, propensity, outputs.get(arm))
                for arm, propensity in zip(selection.arms, selection.propensities, strict=True)
            ),
            features=self._features,
            excused=tuple(arm for arm in selection.arms if arm in down and arm not in outputs),
        )
        answered = from_receipt(self.signer.verify(self.signer.sign(receipt)), stored=None)
        losses = losses_of(answered, item=_LABEL, application=_APPLICATION)
        if not losses:
            return
        policy = make_policy(self.case.policy, {})
        update = update_of(
            policy,
            arms=ARMS,
            losses=losses,
            propensities={record.arm: record.propensity for record in answered.arms},
            features=answered.features,
        )
        self.state, self._base = learn(self.state, update), None


def _refused(*outcomes: Outcome | None) -> bool:
    return all(o is not None and o.status == Status.INVALID_INPUT for o in outcomes)


_LABEL = FeedbackItem(query_id="", label=msgspec.Raw(RIGHT))
_APPLICATION = application_spec(id=7, policy="static", default_output=None, routes=())


def simulate(case: Case) -> Result:
    return Simulation(case=case).run()


def worst(results: Sequence[Result]) -> Result:
    return Result(max(r.broken for r in results), min(r.mended for r in results))


def table(policies: Sequence[str]) -> list[list[str]]:
    """Return a row for each way and share of feedback, with the worst of the seeds."""
    rows = list(product(WAYS, FEEDBACK))
    cases = [
        Case(policy=name, way=way, feedback=feedback, seed=seed)
        for (way, feedback), name, seed in product(rows, policies, SEEDS)
    ]
    with ProcessPoolExecutor() as pool:
        results = dict(zip(cases, pool.map(simulate, cases, chunksize=4), strict=True))

    def cell(policy: str, *, way: str, feedback: float) -> str:
        seeds = [Case(policy=policy, way=way, feedback=feedback, seed=seed) for seed in SEEDS]
        return _shown(worst([results[case] for case in seeds]))

    return [
        ["broken arm", "feedback", *(f"`{name}`" for name in policies)],
        *(
            [way, _share(feedback), *(cell(name, way=way, feedback=feedback) for name in policies)]
            for way, feedback in rows
        ),
    ]


def _shown(result: Result) -> str:
    broken, mended = _share(result.broken), _share(result.mended)
    return (
        f"{broken if result.falls else f'**{broken}**'} → "
        f"{mended if result.returns else f'**{mended}**'}"
    )


def _share(share: float) -> str:
    return f"{share * 100:.0f} %"


def main(policies: Sequence[str]) -> None:
    text = markdown(table(policies or list(POLICIES)))
    print(text)
    if not policies:
        PAGE.write_text(replaced(PAGE.read_text(), mark=MARK, text=text))


if __name__ == "__main__":
    main(sys.argv[1:])
