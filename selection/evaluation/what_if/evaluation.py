"""Answers what if: reads the log and the state once, and takes each target through it."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import BoundedSemaphore
from time import monotonic, thread_time

import numpy as np

from core.errors import Saturated
from registry.following.reading import application_with_arms
from registry.models import Application
from selection.evaluation.logged import LoggedQuery, answer_rule_of
from selection.evaluation.offpolicy.estimate import Estimate, Proposal, estimate, gain, seen_of
from selection.evaluation.offpolicy.evidence import evidence_of
from selection.evaluation.offpolicy.intervals import Verdict
from selection.evaluation.offpolicy.log import Floats, Log, log_of, people_of
from selection.evaluation.offpolicy.policy_replay import (
    Candidate,
    average_proposals,
    learning,
    together,
)
from selection.evaluation.what_if.feedback_span import Span, kept_feedback
from selection.evaluation.what_if.targets import UNIFORM, WhatIfTarget, check_targets, usual_targets
from selection.inference import ALPHA, Interval, mean_of
from selection.policies import make_policy
from selection.policies.arithmetic.sums import State
from selection.store.state_record import prepared

# Each process works out one what-if at a time.
TURN = BoundedSemaphore(1)


class OutOfTime(Exception):
    """The time for this question is used up."""


def time_spent() -> Callable[[], float]:
    """Return a clock of the processor time that this thread has used from now on."""
    wall, processor = monotonic(), thread_time()
    # On a busy machine an answer takes this many times the limit at most.
    return lambda: max(thread_time() - processor, (monotonic() - wall) / 12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The estimate of a target, and its gain on what was earned; those of all hold at once."""

    target: WhatIfTarget
    estimate: Estimate
    gain: Interval | None
    # True for the application's own policy.
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """The mean reward of the answers given; an ensemble made `recombined` of several outputs."""

    value: Interval | None
    rows: int
    recombined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The answer, as `WhatIfOut` describes it."""

    application: str
    policy: str
    context: str | None
    rows: int
    whole: int
    more: bool
    inputs: bool
    others: bool
    since: datetime | None
    until: datetime | None
    earned: Earned
    results: tuple[Result, ...]
    seconds: float


def what_if(
    application: Application,
    *,
    span: Span,
    targets: Iterable[WhatIfTarget] = (),
    usual: bool = True,
    clock: Callable[[], float] | None = None,
) -> Outlook:
    """Estimate what each target would have earned; with the `usual` ones first, if wanted.

    Raises `BadRequest` for an unknown arm, `Saturated` if another question takes long.
    """
    if not TURN.acquire(timeout=5.0):
        raise Saturated("Another what-if is being worked out; try again.", retry_after_s=5.0)
    try:
        evaluation = Evaluation(application, span=span, clock=clock or time_spent())
        return evaluation.outlook([*(evaluation.usual_targets() if usual else ()), *targets])
    finally:
        TURN.release()


class Evaluation:
    """One question, and what it has worked out so far; policies choose from `weights`."""

    def __init__(self, application: Application, *, span: Span, clock: Callable[[], float]) -> None:
        self._clock, self._began, self._span = clock, clock(), span
        self._spec, self._weights = application_with_arms(application)
        self._answering = answer_rule_of(self._spec)
        self._kept = kept_feedback(self._spec.id, span=span, rule=self._answering)
        self._log: Log = log_of(self._kept.queries, arms=list(self._weights))
        self._evidence = evidence_of(self._log)
        self._proposals: dict[str, Proposal] = {}

    def usual_targets(self) -> list[WhatIfTarget]:
        asked = np.sum(self._log.asked, axis=0)
        # Those routed today first, then those that were asked most.
        count = dict(zip(self._log.arms, asked.tolist(), strict=True))
        former = [arm for arm in self._log.arms if count[arm] and arm not in self._weights]
        arms = [*self._weights, *sorted(former, key=lambda arm: -count[arm])]
        usual = usual_targets(self._spec, arms=arms)
        return usual if self._weights else [target for target in usual if target.arm is not None]

    def outlook(self, targets: list[WhatIfTarget]) -> Outlook:
        check_targets(targets, arms=self._log.arms)
        earned, of_row = self._earned()
        # The best of several is a matter of luck: their gains' intervals hold all at once.
        alpha = ALPHA / max(len({repr(each) for each in targets if not self._is_own(each)}), 1)
        results = tuple(self._result(each, earned=of_row, alpha=alpha) for each in targets)
        return Outlook(
            application=self._spec.name,
            policy=self._spec.policy,
            context=self._span.context,
            rows=len(self._log),
            whole=len(self._kept.whole),
            more=self._kept.more,
            inputs=self._span.inputs,
            others=self._kept.others,
            since=self._kept.since,
            until=self._kept.until,
            earned=earned,
            results=results,
            seconds=self._clock() - self._began,
        )

    def _is_own(self, target: WhatIfTarget) -> bool:
        own = (self._spec.policy, dict(self._spec.policy_params))
        return (target.policy, dict(target.params)) == own

    def _result(self, target: WhatIfTarget, *, earned: Floats, alpha: float) -> Result:
        try:
            self._tick()
            if target.arm is None and not self._weights:
                why = "no arm is routed to choose from"
                found = Estimate(verdict=Verdict.NONE, explanation=why)
            else:
                found = estimate(self._evidence, self._proposal(target))
        except OutOfTime:
            why = "not looked at: the time for this question was used up; ask for fewer rows"
            found = Estimate(verdict=Verdict.NONE, explanation=why)
        return Result(
            target=target,
            estimate=found,
            gain=gain(found, earned=earned, people=self._log.people, alpha=alpha),
            current=self._is_own(target),
        )

    def _proposal(self, target: WhatIfTarget) -> Proposal:
        known = self._proposals.get(repr(target))
        if known is None:
            known = self._proposals[repr(target)] = self._proposed(target)
        return known

    def _proposed(self, target: WhatIfTarget) -> Proposal:
        if target.arm is not None:
            return Proposal(chances=self._line({target.arm: 1.0}))
        if target.policy == UNIFORM:
            return Proposal(
                chances=self._line(dict.fromkeys(self._weights, 1.0 / len(self._weights)))
            )
        candidate = Candidate(
            policy=make_policy(str(target.policy), target.params),
            arms=self._weights,
            rule=self._answering,
        )
        if candidate.policy.learns:
            return self._learning(candidate)
        ready = prepared(candidate.policy, State(), self._weights)
        return Proposal(chances=self._line(ready.probabilities))

    def _learning(self, candidate: Candidate) -> Proposal:
        # The same log gets the same answer.
        drawn, rows = random.Random(2017), max(len(self._log), 1)  # noqa: S311
        proposals: list[Proposal] = []
        # Chance has its part in what a policy learns: it goes through the log several times.
        for _ in range(max(2, min(8, 40_000 // rows))):
            uniforms = [drawn.random() for _ in self._log.queries]
            proposals.append(learning(self._log, candidate, uniforms=uniforms, tick=self._tick))
            if proposals[0].answers is not None:
                break  # what asks all arms leaves nothing to chance
        return average_proposals(proposals, settled=self._evidence.settled)

    def _line(self, chances: Mapping[str, float]) -> Floats:
        line = np.zeros((1, len(self._log.arms)))
        for arm, chance in chances.items():
            line[0, self._log.place[arm]] = chance
        return line

    # --- what was really earned -----------------------------------------------------------

    def _earned(self) -> tuple[Earned, Floats]:
        """Return what the answers given earned, and what each row's did (n), nan where unknown."""
        of_row = np.array([_earned_by(query) for query in self._log.queries])
        given = np.array([_reward_of_given(query) for query in self._log.queries])
        made = np.array([_is_made_of_several(query) for query in self._log.queries], dtype=bool)
        recombined = 0
        if np.any(made) and (answers := self._recombined()) is not None:
            of_row[made] = answers[made]
            recombined = int(np.sum(made & np.isnan(given) & ~np.isnan(of_row)))
        # The default output earned by itself; `of_row` compares what the arms answered.
        whole = [query.reward for query in self._kept.whole]
        earned = np.array([*np.where(np.isnan(given), of_row, given), *whole], dtype=np.float64)
        known, people = ~np.isnan(earned), people_of((*self._log.queries, *self._kept.whole))
        value = mean_of(seen_of(earned[known], people=people[known]))
        return Earned(value=value, rows=int(np.sum(known)), recombined=recombined), of_row

    def _recombined(self) -> Floats | None:
        """Return the rewards of the answers that an ensemble makes of several outputs."""
        if not self._weights:
            return None
        spec = self._spec
        own = prepared(make_policy(spec.policy, spec.policy_params), State(), self._weights)
        policy, params = (spec.policy, spec.policy_params) if together(own) else ("exp4", {})
        try:
            target = WhatIfTarget(policy=policy, params=dict(params))
            return self._proposal(target).answers
        except OutOfTime:
            return None

    def _tick(self) -> None:
        # Seconds of a processor.
        if self._clock() >= self._began + 10.0:
            raise OutOfTime


def _is_made_of_several(query: LoggedQuery) -> bool:
    """Return whether an answer was combined of several outputs that differ."""
    return (
        query.given
        and len(query.asked) > 1
        and query.label is not None
        and len({arm.output for arm in query.asked}) > 1
    )


def _reward_of_given(query: LoggedQuery) -> float:
    """Return the reward of what was given, not-a-number where only the arms' answers tell it."""
    known = query.defaulted or len(query.asked) == 1
    return query.reward if known and query.reward is not None else np.nan


def _earned_by(query: LoggedQuery) -> float:
    """Return the reward of what the arms answered, not-a-number where it isn't known."""
    if not query.given or _is_made_of_several(query):
        return np.nan
    if len(query.asked) == 1 or query.label is not None:
        return query.asked[0].reward
    return np.nan
