"""Takes a policy through a log, learning from it as it goes.

It is judged on each query before it learns from it (progressive validation), and learns from what
it would have seen. If one arm was drawn by chance, it takes the row with a chance of c * pi(a) /
p(a), as if it had drawn itself (replay, Li, Chu, Langford and Wang 2011; judged doubly robust on
every row meanwhile, Dudik, Erhan, Langford and Li 2012), and each row counts by that chance.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.errors import BadRequest
from selection.answers.judged import answer_seen
from selection.context_names import GLOBAL_CONTEXT
from selection.evaluation.logged import AnswerRule, LoggedQuery
from selection.evaluation.offpolicy.estimate import Proposal
from selection.evaluation.offpolicy.log import Floats, Log
from selection.policies import Policy, Prepared, Selection
from selection.policies.arithmetic.sums import State, learn_in
from selection.store.state_record import prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A policy, the weights of its routes, and how its answers are made and judged."""

    policy: Policy
    arms: Mapping[str, float]
    rule: AnswerRule


def learning(
    log: Log,
    candidate: Candidate,
    *,
    uniforms: Sequence[float],
    tick: Callable[[], None] = lambda: None,
) -> Proposal:
    """Return what the policy would have done, beginning with nothing and learning from the log.

    What `tick` raises, which is called now and then, ends it.
    """
    # A policy is applied to what it has learned this many times at most, evenly over the log.
    pupil = _Pupil(candidate=candidate, pace=_Pace(log), updates_between=math.ceil(len(log) / 5000))
    place, pace, several = log.place, np.ones(len(log)), False
    chances, answers = np.zeros((len(log), len(log.arms))), np.full(len(log), np.nan)
    for row, query in enumerate(log.queries):
        if row % 128 == 0:
            tick()
        ready = pupil.prepared(query)
        selection = together(ready)
        if selection is None:
            asked = ready.chances(query.features)
            for arm, chance in asked.items():
                chances[row, place[arm]] = chance
            if not query.certain:
                pace[row] = pupil.pace.of(asked)
        else:
            several = True
            reward = candidate.rule.reward(
                query, asked=selection.arms, weights=ready.weights, prepared=ready
            )
            if reward is not None:
                answers[row] = reward
        pupil.learn(query, ready, uniform=uniforms[row])
    return Proposal(
        chances=chances, answers=answers if several else None, trained_on=pupil.updates, pace=pace
    )


def average_proposals(proposals: Sequence[Proposal], *, settled: Floats) -> Proposal:
    """Return what a policy does on average over several times that it learned from one log."""
    first = proposals[0]
    if len(proposals) == 1 or first.answers is not None or not len(first.chances):
        return first
    paces = [p.pace for p in proposals if p.pace is not None]
    pace = np.mean(paces, axis=0) if paces else None
    earned = [np.average(p.chances @ settled, weights=p.pace) for p in proposals]
    return Proposal(
        chances=np.mean([p.chances for p in proposals], axis=0),
        trained_on=round(float(np.mean([p.trained_on or 0 for p in proposals]))),
        pace=pace,
        wander=float(np.var(earned, ddof=1)),
    )


class _Pace:
    """The share `c` of drawn rows that a policy takes; less if it would mostly draw other arms."""

    def __init__(self, log: Log) -> None:
        # Before anything is learned arms are drawn alike.
        self._arms = max(1, len(log.arms))
        drawn = [q.asked[0].propensity * self._arms for q in log.queries if not q.certain]
        self._ratios: deque[float] = deque(maxlen=500)
        self._since = 0
        self._asked: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        self.c = _low(drawn) if drawn else 1.0

    def of(self, chances: Mapping[str, float]) -> float:
        """Return the share of rows that a policy with these chances would take now."""
        rows = len(self._asked) + 1.0
        known = self._counts
        return sum(
            min((known[arm] + 1.0 / self._arms) / rows, self.c * chance)
            for arm, chance in chances.items()
        )

    def follow(self, query: LoggedQuery, *, chance: float) -> None:
        """Learn from a row of the log, the arm of which the policy would have asked by `chance`."""
        (entry,) = query.asked
        self._asked.append(entry.arm)
        self._counts[entry.arm] += 1
        if len(self._asked) > 500:
            self._counts[self._asked.popleft()] -= 1
        if chance <= 0.0:
            return
        self._ratios.append(entry.propensity / chance)
        self._since += 1
        if self._since >= 100 and len(self._ratios) == 500:
            self.c, self._since = _low(self._ratios), 0


def _low(ratios: Iterable[float]) -> float:
    # c is p(a) / pi(a) as it was in all but this share of the last rows. Rows below it come too
    # rarely even if all are taken; what they teach counts by the chance that was left.
    return min(1.0, float(np.quantile(list(ratios), 0.01)))


@dataclass(slots=True, kw_only=True)
class _Pupil:
    """A policy that has learned from some rows, by context."""

    candidate: Candidate
    pace: _Pace
    updates_between: int
    updates: int = 0
    states: dict[str, State] = field(default_factory=dict)
    applied: dict[str, tuple[tuple[str, ...], Prepared]] = field(default_factory=dict)

    def prepared(self, query: LoggedQuery) -> Prepared:
        # Those that there were to choose from, as far as is known.
        arms = tuple(dict.fromkeys((*query.routed, *(entry.arm for entry in query.asked))))
        known = self.applied.get(query.context)
        if known is not None and known[0] == arms:
            return known[1]
        weights = {arm: self.candidate.arms.get(arm, 1.0) for arm in arms}
        ready = prepared(
            self.candidate.policy,
            self.states.get(query.context, State()),
            weights,
            general=None
            if query.context == GLOBAL_CONTEXT
            else self.states.get(GLOBAL_CONTEXT, State()),
            promise=self.candidate.rule.promise,
        )
        self.applied[query.context] = (arms, ready)
        return ready

    def learn(self, query: LoggedQuery, ready: Prepared, *, uniform: float) -> None:
        """Learn from a row, if it is one that the policy would have seen."""
        drawn = self._drawn(query, ready, uniform=uniform)
        if drawn is None:
            return
        asked = [entry for entry in query.asked if entry.arm in drawn.arms]
        losses = {entry.arm: entry.loss for entry in asked if entry.loss is not None}
        if not losses:
            return
        rule = self.candidate.rule
        try:
            update = self.candidate.policy.update(
                arms=query.routed,
                losses=losses,
                propensities=dict(zip(drawn.arms, drawn.propensities, strict=True)),
                features=query.features,
                at_ms=self.updates,
                key=query.key,
                overlap=drawn.overlap,
                answer=answer_seen(
                    {entry.arm: entry.output for entry in asked},
                    label=query.label,
                    promised=rule.promise is not None,
                    prepared=lambda: ready,
                    how=rule.how,
                    judge=rule.loss,
                ),
            )
        except BadRequest:  # features that were not given when the query came
            return
        self.states |= learn_in(query.context, update, states=self.states)
        self.updates += 1
        # Contexts learn of each other through what everybody knows: all anew now and then.
        if self.updates % (self.updates_between * 20) == 0:
            self.applied.clear()
        elif self.updates % self.updates_between == 0:
            self.applied.pop(GLOBAL_CONTEXT, None)
            self.applied.pop(query.context, None)

    def _drawn(self, query: LoggedQuery, ready: Prepared, *, uniform: float) -> Selection | None:
        if query.certain:
            drawn = ready.select(uniform, query.features)
            asked = {entry.arm for entry in query.asked}
            return drawn if asked.issuperset(drawn.arms) else None
        if together(ready) is not None:
            return None
        (entry,) = query.asked
        chance = ready.chances(query.features).get(entry.arm, 0.0)
        c = self.pace.c
        self.pace.follow(query, chance=chance)
        if uniform >= c * chance / entry.propensity:
            return None
        return Selection((entry.arm,), (min(chance, entry.propensity / c),))


def together(ready: Prepared) -> Selection | None:
    """Return the arms that a policy asks together, None where it asks one at a time."""
    first = ready.selections[0]
    return first if len(first.arms) > 1 else None
