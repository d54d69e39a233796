"""Policies in a world whose best arm fails and is mended.

Arms err independently, and wrong answers are all the same: the hardest case for a vote.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from statistics import mean
from typing import NamedTuple

from selection.context_names import GLOBAL_CONTEXT
from selection.policies import Policy, Prepared, Selection
from selection.policies.arithmetic.sums import State, learn_in
from selection.rewards.losses import make_loss
from selection.store.state_record import prepared

QUERIES, FAILS_AT, MENDED_AT = 20_000, 5_000, 10_000
WRONG = {"a:1": 0.08, "b:1": 0.15, "c:1": 0.20, "d:1": 0.30, "e:1": 0.40}
BEST, WRONG_WHILE_FAILING = "a:1", 0.9
# A share of traffic is that of so many queries up to now.
WINDOW = 100
LOSS = make_loss()

# Says of each arm whether it is wrong about the query of this number.
World = Callable[[int, Random], Mapping[str, bool]]


class Learner:
    """A policy applied to what is known in one context, among the `states` of all by context. The
    arithmetic is the servers' own (`sums.py`), which Redis does in a script.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        arms: Sequence[str],
        context: str = GLOBAL_CONTEXT,
        states: dict[str, State] | None = None,
    ) -> None:
        self.states = {} if states is None else states
        self._context = context
        self._policy = policy
        self._arms = dict.fromkeys(arms, 1.0)
        self._prepared: Prepared | None = None

    @property
    def prepared(self) -> Prepared:
        """The policy applied to what is known now, if nobody else has learned since it last did."""
        if self._prepared is None:
            own, everybody = (
                self.states.get(context, State()) for context in (self._context, GLOBAL_CONTEXT)
            )
            general = None if self._context == GLOBAL_CONTEXT else everybody
            self._prepared = prepared(self._policy, own, self._arms, general=general)
        return self._prepared

    def take(
        self, selection: Selection, losses: Mapping[str, float], *, features: Sequence[float] = ()
    ) -> None:
        """Learn from what each of the selected arms has lost."""
        propensities = dict(zip(selection.arms, selection.propensities, strict=True))
        update = self._policy.update(arms=self._arms, losses=losses, propensities=propensities,
            features=features,
        )  # fmt: skip
        self.states |= learn_in(self._context, update, states=self.states)
        self._prepared = None


class Step(NamedTuple):
    """One query: whether the answer given was wrong, and the part that each arm has in it."""

    wrong: bool
    part: Mapping[str, float]


class Run(NamedTuple):
    """One run of a policy. `left` and `back`: how many queries after its failure the best arm's
    part was below 20 %, and after it was mended, above any other's; None where it never was.
    """

    error: float
    left: int | None
    back: int | None


def failing_best(*, fails_at: int = FAILS_AT, mended_at: int = MENDED_AT) -> World:
    """Return a world whose best arm fails for a while."""

    def world(query: int, luck: Random) -> dict[str, bool]:
        failing = WRONG | {BEST: WRONG_WHILE_FAILING} if fails_at <= query < mended_at else WRONG
        return {arm: luck.random() < wrong for arm, wrong in failing.items()}

    return world


def play(
    policy: Policy,
    *,
    seed: int,
    queries: int = QUERIES,
    world: World = failing_best(),  # noqa: B008 - it holds nothing that changes
) -> Iterator[Step]:
    """Let a policy choose, answer and learn, query by query; its luck is not the world's."""
    learner = Learner(policy, arms=tuple(world(0, Random(0))))
    chance, luck = Random(f"policy {seed}"), Random(f"world {seed}")
    for query in range(queries):
        wrong, ready = world(query, luck), learner.prepared
        selection = ready.select(chance.random())
        if len(selection.arms) == 1:
            yield Step(wrong[selection.arms[0]], ready.probabilities)
        else:
            against = sum(weight for arm, weight in ready.weights.items() if wrong[arm])
            yield Step(against > 0.5, ready.weights)
        learner.take(selection, {arm: float(wrong[arm]) for arm in selection.arms})


def summed_up(
    steps: Sequence[Step], *, fails_at: int = FAILS_AT, mended_at: int = MENDED_AT
) -> Run:
    parts = [step.part[BEST] for step in steps]
    left = _first(parts, after=fails_at, reached=lambda part: part < 0.2)
    leads = [
        step.part[BEST] - max(part for arm, part in step.part.items() if arm != BEST)
        for step in steps
    ]
    back = _first(leads, after=mended_at, reached=lambda lead: lead > 0.0)
    return Run(mean(step.wrong for step in steps), left, back)


def _first(parts: Sequence[float], *, after: int, reached: Callable[[float], bool]) -> int | None:
    """Return after how many queries the mean part of a window was there."""
    for end in range(after + WINDOW, len(parts) + 1):
        if reached(mean(parts[end - WINDOW : end])):
            return end - after
    return None
