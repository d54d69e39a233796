"""The state of an application as the management API and the console read it, blocking."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import redis

from core.specs import ApplicationSpec
from registry.following.reading import application_with_arms, read_application
from registry.models import Application
from selection.policies import make_policy
from selection.store.asks import parse_missed
from selection.store.redis_keys import (
    GLOBAL_CONTEXT,
    contexts_key,
    redis_needed_blocking,
    reliability_key,
    state_key,
)
from selection.store.state_record import StateRecord, describe, moment, parse_record


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedContext:
    """A context that has learned; feedback is over all arms."""

    context: str
    last_used_at: datetime
    updated_at: datetime | None
    feedback: int


def describe_all(
    client: redis.Redis,
    routed: Sequence[tuple[ApplicationSpec, Mapping[str, float]]],
    *,
    context: str = GLOBAL_CONTEXT,
) -> list[dict[str, Any]]:
    """Return applications as `SelectionStore.describe` does. Raises Unavailable."""
    states, reliability = _read(
        client,
        [(spec.id, name) for spec, _ in routed for name in (context, GLOBAL_CONTEXT)],
        applications=[spec.id for spec, _ in routed],
    )
    stored = iter(states)
    return [
        describe(
            spec,
            make_policy(spec.policy, spec.policy_params),
            context=context,
            arms=arms,
            own=next(stored),
            general=next(stored),
            missed=reliability[spec.id],
        )
        for spec, arms in routed
    ]


def describe_context(
    client: redis.Redis, application: Application, *, context: str
) -> dict[str, Any]:
    """Return the same of one application, routed as the registry says."""
    (state,) = describe_all(client, [application_with_arms(application)], context=context)
    return state


def learned_contexts(
    client: redis.Redis, application: Application, *, limit: int, offset: int = 0
) -> tuple[list[LearnedContext], int]:
    """Return a page of the contexts that have learned, last used first, and how many there are."""
    spec = read_application(application)
    key, oldest = contexts_key(spec.id), time.time() - spec.context_ttl_s
    with redis_needed_blocking():
        total = client.zcount(key, oldest, "+inf")
        found = cast(
            "list[tuple[bytes, float]]",
            client.zrevrangebyscore(key, "+inf", oldest, offset, limit, withscores=True),
        )
    names = [name.decode() for name, _ in found]
    states, _ = _read(client, [(spec.id, name) for name in names])
    page = [
        LearnedContext(
            context=name,
            last_used_at=datetime.fromtimestamp(last_used, tz=UTC),
            updated_at=moment(stored.updated_at),
            feedback=sum(stored.feedback.values()),
        )
        for name, (_, last_used), stored in zip(names, found, states, strict=True)
    ]
    return page, total


def _read(
    client: redis.Redis, keys: Sequence[tuple[int, str]], *, applications: Sequence[int] = ()
) -> tuple[list[StateRecord], dict[int, dict[str, float]]]:
    """Return states, and by application the share of asks that each arm missed lately."""
    with redis_needed_blocking(), client.pipeline(transaction=False) as pipe:
        for application_id, context in keys:
            pipe.hgetall(state_key(application_id, context))
        for application_id in applications:
            pipe.hgetall(reliability_key(application_id))
        read = pipe.execute()
    missed = map(parse_missed, read[len(keys) :])
    return (
        [parse_record(fields) for fields in read[: len(keys)]],
        dict(zip(applications, missed, strict=True)),
    )
