"""Searches a policy's parameters on kept feedback, and judges the choice on what came later.

What was chosen among many looks better than it is on the feedback that chose it. So parameters are
chosen on the earlier part alone, by the lower end of each estimate, and the one choice is judged on
the later part, beside what the application does today.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import BadRequest
from registry.models import Application
from registry.snapshot import application_with_arms
from selection.evaluation.answer_rule import answer_rule_of
from selection.evaluation.offpolicy.difference import difference
from selection.evaluation.offpolicy.estimate import Estimate, Proposal, estimate
from selection.evaluation.offpolicy.evidence import Evidence, evidence_of
from selection.evaluation.offpolicy.intervals import Value
from selection.evaluation.offpolicy.log import Log, log_of
from selection.evaluation.offpolicy.replay import Candidate, averaged, learning
from selection.evaluation.what_if.feedback import kept_feedback
from selection.evaluation.what_if.targets import WhatIfTarget, policy_target
from selection.evaluation.what_if.turn import TIME_LIMIT_S, OutOfTime, time_spent, turn
from selection.evaluation.what_if.window import Span
from selection.policies import POLICIES, Parameter, make_policy

LEAST_SEARCH_ROWS = 200
MOST_TRIED = 24
# Of the rows, oldest first, and of the time: for choosing. The rest is for judging.
CHOOSING_ROWS, CHOOSING_TIME = 0.6, 0.6
# A parameter is tried at its value, and at this many times more and less.
STEP = 4.0
JUDGED_TIMES, SEED = 3, 2017


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Parameters, and what they would have earned on the earlier part."""

    params: Mapping[str, Any]
    estimate: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A policy, and what it would have earned on the later part."""

    target: WhatIfTarget
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was chosen of all `tried`, best first, by `chosen_on` rows, and judged by `judged_on`.

    `gain` is by how much it would have earned more there than the `current` policy. For `left_out`
    the time was used up.
    """

    application: str
    policy: str
    tried: tuple[Tried, ...]
    left_out: int
    chosen_on: int
    judged_on: int
    chosen: Judged | None = None
    current: Judged | None = None
    gain: Value | None = None
    seconds: float = 0.0

    @property
    def conclusion(self) -> str:
        """Say what follows, in words."""
        if self.chosen is None:
            rows = self.chosen_on + self.judged_on
            return (
                f"can't say yet: it takes {LEAST_SEARCH_ROWS} pieces of feedback, there are {rows}"
            )
        if self.gain is None or self.gain.low <= 0.0 <= self.gain.high:
            return "can't say yet: on the later feedback either may be better"
        if self.gain.low > 0.0:
            return "better on the later feedback, which didn't take part in the choice"
        return "worse on the later feedback, which didn't take part in the choice"


def search(
    application: Application,
    *,
    policy: str,
    span: Span,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float] | None = None,
) -> Found:
    """Choose parameters for a policy that learns; blocking, for some seconds of a processor.

    Too little feedback chooses nothing. Raises `BadRequest` for a policy that doesn't learn,
    `Saturated` where somebody else's question takes long.
    """
    with turn():
        clock = clock or time_spent()
        began = clock()
        searching = _Search(application, policy=policy, span=span, clock=clock)
        return searching.found(began=began, time_limit_s=time_limit_s)


class _Search:
    def __init__(
        self, application: Application, *, policy: str, span: Span, clock: Callable[[], float]
    ) -> None:
        self._spec, self._weights = application_with_arms(application)
        self._clock, self._until = clock, 0.0
        learning_ones = [name for name, p in POLICIES.items() if p.learns]
        if policy not in learning_ones:
            told = ", ".join(learning_ones)
            raise BadRequest(f"policy: expected one that learns ({told}), got {policy!r}")
        self._base = policy_target(self._spec, policy=policy)
        self._rule = answer_rule_of(self._spec)
        kept = kept_feedback(self._spec.id, span=span, rule=self._rule)
        self._log = log_of(kept.queries, arms=list(self._weights))
        self._cut = int(len(self._log) * CHOOSING_ROWS)
        self._earlier = log_of(kept.queries[: self._cut], arms=self._log.arms)
        self._later = evidence_of(log_of(kept.queries[self._cut :], arms=self._log.arms))

    def found(self, *, began: float, time_limit_s: float) -> Found:
        if len(self._log) < LEAST_SEARCH_ROWS:
            return self._nothing()
        self._until = began + CHOOSING_TIME * time_limit_s
        tried, left_out = self._tried()
        self._until = began + time_limit_s
        chosen = WhatIfTarget(policy=self._base.policy, params=tried[0].params, learning=True)
        own = policy_target(self._spec, policy=self._spec.policy)
        try:
            proposals = [self._proposal(target) for target in (chosen, own)]
        except OutOfTime as late:
            raise BadRequest("rows: the choice wasn't judged in time; ask for fewer") from late
        return Found(
            application=self._spec.name,
            policy=str(self._base.policy),
            tried=tuple(tried),
            left_out=left_out,
            chosen_on=self._cut,
            judged_on=len(self._later.log),
            chosen=Judged(target=chosen, estimate=estimate(self._later, proposals[0])),
            current=Judged(target=own, estimate=estimate(self._later, proposals[1])),
            gain=difference(self._later, *proposals),
            seconds=self._clock() - began,
        )

    def _nothing(self) -> Found:
        return Found(
            application=self._spec.name,
            policy=str(self._base.policy),
            tried=(),
            left_out=0,
            chosen_on=self._cut,
            judged_on=len(self._later.log),
        )

    def _tried(self) -> tuple[list[Tried], int]:
        """Return what was tried in time, best first, and how much wasn't."""
        evidence = evidence_of(self._earlier)
        wanted = list({repr(params): params for params in variations(self._base)}.values())
        wanted, tried = wanted[:MOST_TRIED], []
        for params in wanted:
            try:
                found = self._on(self._earlier, evidence=evidence, params=params)
            except OutOfTime:
                break
            if found is None:
                raise BadRequest("policy: this feedback tells nothing of what it would have earned")
            tried.append(Tried(params=params, estimate=found))
        if not tried:
            raise BadRequest("rows: none was judged in time; ask for fewer")
        return sorted(tried, key=lambda one: -one.estimate.low), len(wanted) - len(tried)

    def _on(self, log: Log, *, evidence: Evidence, params: Mapping[str, Any]) -> Value | None:
        target = WhatIfTarget(policy=self._base.policy, params=params, learning=True)
        return estimate(evidence, self._replayed(log, target=target, times=1)).best

    def _proposal(self, target: WhatIfTarget) -> Proposal:
        """Return what a policy that learned from all that came before does on the later part."""
        whole = self._replayed(self._log, target=target, times=JUDGED_TIMES)
        rows = slice(self._cut, None)
        return Proposal(
            chances=np.broadcast_to(whole.chances, self._log.asked.shape)[rows],
            answers=None if whole.answers is None else whole.answers[rows],
            trained_on=whole.trained_on,
            pace=None if whole.pace is None else whole.pace[rows],
            wander=whole.wander,
        )

    def _replayed(self, log: Log, *, target: WhatIfTarget, times: int) -> Proposal:
        candidate = Candidate(
            policy=make_policy(str(target.policy), target.params),
            arms=self._weights or dict.fromkeys(log.arms, 1.0),
            rule=self._rule,
        )
        drawn = random.Random(SEED)  # noqa: S311
        proposals = []
        for _ in range(times):
            uniforms = [drawn.random() for _ in log.queries]
            proposals.append(learning(log, candidate, uniforms=uniforms, tick=self._tick))
        return averaged(proposals, settled=self._later.settled)

    def _tick(self) -> None:
        if self._clock() >= self._until:
            raise OutOfTime


def variations(base: WhatIfTarget) -> Iterator[dict[str, Any]]:
    """Yield the parameters of a policy, then such with one of them changed, then with several.

    Some may come twice. Whole numbers stay: they say what kind of rewards or features there are.
    """
    policy = make_policy(str(base.policy), base.params)
    settings = {p.name: getattr(policy, p.name) for p in policy.parameters}
    choices = {
        p.name: _around(settings[p.name], parameter=p) for p in policy.parameters if not p.whole
    }
    yield settings
    for name, values in choices.items():
        for value in values:
            yield {**settings, name: value}
    drawn = random.Random(SEED)  # noqa: S311
    for _ in range(MOST_TRIED):
        yield {**settings, **{n: drawn.choice((settings[n], *v)) for n, v in choices.items()}}


def _around(value: float, *, parameter: Parameter) -> list[float]:
    start = value or parameter.default or (parameter.high - parameter.low) / STEP**3
    ends = [start / STEP, start * STEP, *([0.0] if parameter.low == 0.0 else [])]
    bounded = (min(max(end, parameter.low), parameter.high) for end in ends)
    return [end for end in dict.fromkeys(bounded) if end != value]
