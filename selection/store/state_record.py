"""A state's hash in Redis, read: what was learned, from how much feedback, and how to show it."""

from collections.abc import Container, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from core.specs import ApplicationSpec
from selection.policies import Policy, Prepared
from selection.policies.arithmetic.answer_sums import ANSWERS, AnswerRecord, Promise
from selection.policies.arithmetic.shrinkage import Everybody, shrink
from selection.policies.arithmetic.sums import (
    PEOPLE,
    REWARDS,
    State,
    Statistics,
    Vector,
    join,
    join_all,
    mean_reward,
)
from selection.policies.best_arm_proof import Recommendation, proof_of, recommend, reward_intervals
from selection.reliability import factors_of
from selection.store.redis_keys import (
    FEEDBACK,
    GLOBAL_CONTEXT,
    POSITION,
    QUERIES,
    UPDATED,
    unpack_vector,
)

_UPDATED, _POSITION = UPDATED.encode(), POSITION.encode()


class StateRecord(NamedTuple):
    """One hash of Redis: the state, counts by arm, and when and by which entry it last learned."""

    state: State
    feedback: Mapping[str, int]
    queries: Mapping[str, int]
    updated_at: float | None
    position: str | None


def parse_record(fields: Mapping[bytes, bytes], *, without: Container[str] = ()) -> StateRecord:
    """Read a hash `without` some kinds of sums; fields that hold no sums are skipped."""
    sums: dict[str, dict[str, Vector]] = {}
    feedback: dict[str, int] = {}
    queries: dict[str, int] = {}
    for field, value in fields.items():
        name, arm = _name_and_arm(field)
        if name == FEEDBACK:
            feedback[arm] = int(value)
        elif name == QUERIES:
            queries[arm] = int(value)
        elif name and name not in without and value and len(value) % 8 == 0:
            of = sums.get(name)
            if of is None:
                of = sums[name] = {}
            of[arm] = unpack_vector(value)
    updated, position = fields.get(_UPDATED), fields.get(_POSITION)
    return StateRecord(
        State(sums),
        feedback,
        queries,
        None if updated is None else float(updated),
        None if position is None else position.decode(),
    )


# Contexts of one application have the same fields, thousands of times a second.
@lru_cache(maxsize=4096)
def _name_and_arm(field: bytes) -> tuple[str, str]:
    """Return the name of a field's sums, or which counts it is of, and the arm; "": neither."""
    name, colon, arm = field.decode().partition(":")
    return (name + colon if name + colon in (FEEDBACK, QUERIES) else name if colon else ""), arm


def describe(
    application: ApplicationSpec,
    policy: Policy,
    *,
    context: str,
    arms: Mapping[str, float],
    own: StateRecord,
    general: StateRecord,
    missed: Mapping[str, float],
) -> dict[str, Any]:
    """Return one context's state as the API and the console show it."""
    learned: dict[str, Any] = {"arms": [], "reason": "", "recommendation": None}
    if arms:
        base = None if context == GLOBAL_CONTEXT else general.state
        known = known_of(policy, own.state, arms, general=base)
        ready = prepared(
            policy, own.state, arms, general=base, promise=promise_of(application)
        ).reweighted(factors_of(missed))
        # An arm that nobody is sent to, and nothing is known of, is no other choice.
        known_people = own.state.of(PEOPLE)
        proof = proof_of(
            own.state,
            [
                arm
                for arm, chance in ready.probabilities.items()
                if chance > 0.0 or known_people.get(arm, (0.0,))[0] > 0.0
            ],
        )
        learned = {
            "arms": _arms(ready, stored=own, proof=proof, missed=missed),
            "reason": policy.reason(known),
            "recommendation": _recommendation(recommend(proof, proof=policy.proof)),
        }
    return {
        "policy": application.policy,
        "context": context,
        **learned,
        "updated_at": iso(own.updated_at),
    }


def prepared(
    policy: Policy,
    state: State,
    arms: Mapping[str, float],
    *,
    general: State | None = None,
    promise: Promise | None = None,
) -> Prepared:
    """Return the policy applied to a state; `general` is that of all contexts, for one's own."""
    ready = policy.prepare(known_of(policy, state, arms, general=general), arms)
    if not ready.odds and promise is None:
        return ready
    everybody = state if general is None else general
    answers = join(everybody, arms, statistic=ANSWERS, warm_start=policy.warm_start)
    return ready.judged_by(AnswerRecord.of(answers.values(), promise=promise))


def promise_of(application: ApplicationSpec) -> Promise | None:
    """Return what an application promises of its answers, if anything."""
    if application.max_wrong_share is None:
        return None
    return Promise(application.max_wrong_share, application.promise_confidence)


def known_of(
    policy: Policy, state: State, arms: Mapping[str, float], *, general: State | None = None
) -> Statistics:
    """Return the sums that the policy goes by, those of newcomers and everybody's included."""
    statistics, warm_start = policy.statistics, policy.warm_start
    own = join_all(state, arms, statistics=statistics, warm_start=warm_start)
    if general is None:
        return own
    everybody = Everybody.of(general, arms, statistics=statistics, warm_start=warm_start)
    seen = join(state, arms, statistic=REWARDS, warm_start=warm_start)
    return shrink(own, everybody, seen=seen, relative=policy.is_decided_by_counts)


def _recommendation(found: Recommendation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    values = found._asdict()
    since_ms = values.pop("since_ms")
    return {**values, "since": iso(since_ms / 1000.0) if since_ms else None}


def moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)


def iso(seconds: float | None) -> str | None:
    at = moment(seconds)
    return None if at is None else at.isoformat()


def _arms(
    prepared: Prepared, *, stored: StateRecord, proof: Statistics, missed: Mapping[str, float]
) -> list[dict[str, Any]]:
    rewards, intervals = stored.state.of(REWARDS), reward_intervals(proof)
    return [
        {
            "model": arm.partition(":")[0],
            "version": arm.partition(":")[2],
            "weight": weight,
            "probability": prepared.probabilities[arm],
            "queries": stored.queries.get(arm, 0),
            "feedback": stored.feedback.get(arm, 0),
            "reliability": 1.0 - missed.get(arm, 0.0),
            "reward": mean_reward(rewards[arm]) if arm in rewards else None,
            "reward_interval": intervals[arm]._asdict() if arm in intervals else None,
        }
        for arm, weight in prepared.weights.items()
    ]
