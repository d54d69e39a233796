"""The better of two arms breaks, in six ways, and is mended: what each policy makes of it.

    python -m benchmarks.reliability_simulation     all of them, into docs/explanation/policies.md
    python -m benchmarks.reliability_simulation exp3 exp4    only print these

Only the models are played. A query without an answer has no receipt, so that nothing that a broken
arm does ever gets feedback; with `receipts` it has one, as where there is a default output.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from random import Random
from statistics import mean
from typing import NamedTuple

import msgspec

from benchmarks.selection_simulation import Learner
from benchmarks.telling import Rows, markdown, replaced
from scripts.stack.layout import ROOT
from selection.feedback.events import FeedbackItem
from selection.feedback.joining import from_receipt
from selection.feedback.scoring import losses_of
from selection.policies import POLICIES, Prepared, Selection, make_policy
from selection.policies.linear import Linear
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from selection.reliability import Reliability
from serving.engine.outcome import REPLICA_LOST, Outcome, Status
from serving.query.charges import charges
from serving.query.second_opinions import drawn_other
from serving.testing.specs import application_spec

PAGE, MARK = ROOT / "docs/explanation/policies.md", "reliability"
BROKEN = "a:1"
BREAKS_AT, MENDED_AT, QUERIES = 1_000, 3_000, 5_000
# After the arm broke, and after it was mended.
FALLEN_WITHIN, BACK_WITHIN = 500, 2_000
MOST_WHILE_BROKEN, LEAST_ONCE_MENDED = 0.1, 0.25
ERRORS = {"a:1": 0.05, "b:1": 0.15}
SEEDS = range(3)
# A share is the mean of so many queries up to now.
WINDOW = 100
RIGHT, WRONG = b"1", b"0"
FEEDBACK = (1.0, 0.1, 0.0)
SIGNER = ReceiptSigner(b"simulation")
LABEL = FeedbackItem(query_id="", label=msgspec.Raw(RIGHT))
APPLICATION = application_spec(id=7, policy="static", default_output=None, routes=())

Answers = dict[str, Outcome | None]


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


class Case(NamedTuple):
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


class Simulation:
    """One application that chooses, is answered and learns, query by query."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._way = WAYS[case.way]
        self._learner = Learner(make_policy(case.policy, {}), arms=tuple(ERRORS))
        self._reliability = Reliability()
        policy = make_policy(case.policy, {})
        self._features = (1.0,) * (policy.coefficients - 1) if isinstance(policy, Linear) else ()
        # When a failure becomes known, and of which arm.
        self._pending: deque[tuple[int, str]] = deque()
        # Both are kept until one of them is another.
        self._known: tuple[object, object] = (None, None)
        self._prepared: Prepared

    def run(self) -> Result:
        parts = [self._query(number) for number in range(QUERIES)]
        ends = BREAKS_AT + FALLEN_WITHIN, MENDED_AT + BACK_WITHIN
        return Result(*(mean(parts[end - WINDOW : end]) for end in ends))

    def _query(self, number: int) -> float:
        """Ask one query; return the broken arm's part in it."""
        while self._pending and self._pending[0][0] <= number:
            self._reliability.note(self._pending.popleft()[1], answered=False)
        luck = Random(f"{self._case.seed} {number}")
        ready = self._ready()
        chances = ready.chances(self._features)
        if POLICIES[self._case.policy].sticky:
            selection = ready.assigned(f"7:user-{number % 997}", uniform=luck.random())
        else:
            selection = ready.select(luck.random(), self._features)
        answers = {arm: self._outcome(arm, number, luck) for arm in selection.arms}
        first = answers[selection.arms[0]]
        if len(answers) == 1 and first is not None and first.status == Status.INVALID_INPUT:
            other = drawn_other(
                chances, asked=selection.arms[0], may_ask=lambda arm: True, uniform=luck.random
            )
            if other is not None:
                answers[other.arm] = self._outcome(other.arm, number, luck)
                selection = Selection((other.arm,), (other.propensity,))
        self._charge(answers, number=number)
        if luck.random() < self._case.feedback:
            self._feed_back(selection, answers, down=ready.down)
        return (ready.weights if len(selection.arms) > 1 else chances)[BROKEN]

    def _outcome(self, arm: str, number: int, luck: Random) -> Outcome | None:
        if arm == BROKEN and BREAKS_AT <= number < MENDED_AT:
            return self._way.outcome
        return Outcome(Status.OK, WRONG if luck.random() < ERRORS[arm] else RIGHT)

    def _charge(self, answers: Answers, *, number: int) -> None:
        """Charge what is known now; that nothing came is known at the deadline alone."""
        told = charges(tuple(answers), list(answers.values()), hurried=[False] * len(answers))
        for arm, answered in told:
            if not answered and self._way.delay:
                self._pending.append((number + self._way.delay, arm))
            else:
                self._reliability.note(arm, answered=answered)

    def _ready(self) -> Prepared:
        known = (self._learner.prepared, self._reliability.factors)
        if known[0] is not self._known[0] or known[1] is not self._known[1]:
            self._known = known
            self._prepared = known[0].reweighted(known[1])
        return self._prepared

    def _feed_back(self, selection: Selection, answers: Answers, *, down: frozenset[str]) -> None:
        outputs = {a: o.payload for a, o in answers.items() if o and o.status == Status.OK}
        if not outputs and not self._case.receipts:
            return  # an error
        propensities = zip(selection.arms, selection.propensities, strict=True)
        receipt = Receipt(
            nonce=b"0" * 12,
            issued_at_ms=0,
            application_id=7,
            context="",
            arms=tuple(ArmRecord(arm, p, outputs.get(arm)) for arm, p in propensities),
            features=self._features,
            excused=tuple(arm for arm in selection.arms if arm in down and arm not in outputs),
        )
        answered = from_receipt(SIGNER.verify(SIGNER.sign(receipt)), stored=None)
        if losses := losses_of(answered, item=LABEL, application=APPLICATION):
            known = tuple(record.arm for record in answered.arms)
            chances = tuple(record.propensity for record in answered.arms)
            self._learner.take(Selection(known, chances), losses, features=self._features)


def simulate(case: Case) -> Result:
    return Simulation(case).run()


def table(policies: Sequence[str]) -> Rows:
    """Return a row for each way and share of feedback, with the worst of the seeds."""
    cases = [Case(*case) for case in product(policies, WAYS, FEEDBACK, SEEDS)]
    with ProcessPoolExecutor() as pool:
        results = dict(zip(cases, pool.map(simulate, cases, chunksize=4), strict=True))

    def cell(policy: str, way: str, feedback: float) -> str:
        seeds = [results[Case(policy, way, feedback, seed)] for seed in SEEDS]
        worst = Result(max(r.broken for r in seeds), min(r.mended for r in seeds))
        return " → ".join(
            f"{share * 100:.0f} %" if good else f"**{share * 100:.0f} %**"
            for share, good in zip(worst, (worst.falls, worst.returns), strict=True)
        )

    return [
        ("broken arm", "feedback", *(f"`{name}`" for name in policies)),
        *(
            (way, f"{share * 100:.0f} %", *(cell(name, way, share) for name in policies))
            for way, share in product(WAYS, FEEDBACK)
        ),
    ]


def main(policies: Sequence[str]) -> None:
    text = markdown(table(policies or list(POLICIES)))
    print(text)
    if not policies:
        PAGE.write_text(replaced(PAGE.read_text(), mark=MARK, text=text))


if __name__ == "__main__":
    main(sys.argv[1:])
