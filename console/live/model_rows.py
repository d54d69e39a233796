"""Rows of models: which replicas each has, and how they keep up with its queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
from django.urls import reverse

from console.live.model_load import A_FEW, MOST, TOO_MANY, Document, ModelLoad, load_of, load_text
from console.words import formats
from core.redis.redis_client import redis_client
from core.specs import ModelSpec, Snapshot, VersionSpec
from registry.releases.restarts import Restarts, read_restarts
from serving.cluster.failures.failure_counts import failure_texts
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.views import WebView, obstacle_text, obstacles, read_views
from serving.metrics.published import read_published

# States that somebody has to do something about.
ALARMING = ("overloaded", "failing", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The state in Redis; with a `problem` it is unknown, and that says nothing of the models."""

    problem: str = ""
    documents: Sequence[Document] = ()
    replicas: Sequence[ReplicaRecord] = ()
    views: Sequence[WebView] = ()
    # By version, as far as there were any: ends of replicas unasked, and where it fails to load.
    restarts: Mapping[int, Restarts] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        return not self.problem


def read_sources(snapshot: Snapshot) -> Sources:
    """Read what Redis has of the live versions; blocking, never raises for Redis."""
    client = redis_client()
    live = [m.live_version_id for m in snapshot.models.values() if m.live_version_id is not None]
    try:
        return Sources(
            documents=read_published(client),
            replicas=own_directory().read(),
            views=read_views(client),
            restarts=read_restarts(client, live),
            failures=failure_texts(client, live),
        )
    except redis.RedisError as error:
        return Sources(problem=f"Redis cannot be reached, so nothing live is known: {error}")


def model_rows(snapshot: Snapshot, *, sources: Sources) -> list[dict[str, Any]]:
    return [
        _model(model, live=snapshot.versions.get(model.live_version_id or 0), sources=sources)
        for model in snapshot.models.values()
    ]


def standing(
    load: ModelLoad | None,
    *,
    wanted: int,
    ready: int,
    unreached: int = 0,
    restarts: Restarts | None = None,
) -> tuple[str, str]:
    """Return how a deployed model stands: a stable word, and the words that people read."""
    refused = load.refused_rate if load else 0.0
    if ready == wanted == 0:
        return "silent", "Scaled to 0 replicas"
    if ready == 0 and wanted > 0:
        refuses = f": refuses {formats.rate(refused)} queries/s" if refused else ""
        return "stopped", f"No replica is ready{refuses}"
    if unreached and unreached == ready:
        return "stopped", "Not reached by every web process"
    if restarts is not None and restarts.is_loop:
        return "failing", f"Its replicas end again and again: {restarts.recent} times lately"
    if load and load.fails(A_FEW):
        fails = f"{formats.rate(load.failed_rate)} queries/s fail"
        return ("failing", f"Failing: {fails}") if load.fails(TOO_MANY) else ("late", fails)
    if load and load.finds_invalid(A_FEW):
        invalid = f"Finds {formats.rate(load.invalid_rate)} inputs/s invalid"
        return "failing" if load.finds_invalid(MOST) else "late", invalid
    if load and load.refuses(A_FEW):
        refuses = f"refuses {formats.rate(refused)} queries/s"
        if load.refuses(TOO_MANY):
            return "overloaded", f"Overloaded: {refuses}"
        return "late", refuses.capitalize()
    if unreached:
        return "late", f"{unreached} of {ready} not reached by every web process"
    if ready < wanted:
        return "late", "Fewer replicas than wanted"
    if load is None or load.is_idle:
        return "good", "Idle"
    return "good", "Keeping up"


def _model(model: ModelSpec, *, live: VersionSpec | None, sources: Sources) -> dict[str, Any]:
    own = [replica for replica in sources.replicas if replica.model == model.name]
    load = load_of(live.arm, documents=sources.documents) if live is not None else None
    errors = [replica.last_error.partition("\n")[0] for replica in own if replica.last_error]
    ready = [r for r in own if live and r.version_id == live.id and r.state is ReplicaState.READY]
    in_between = obstacles(ready, views=sources.views)
    unreached = len({replica.id for replica, _, _ in in_between})
    restarts = sources.restarts.get(live.id) if live is not None else None
    if live is None:
        state, words = "silent", "Not deployed"
    elif not sources.reachable:
        state, words = "silent", "Unknown"
    else:
        state, words = standing(
            load, wanted=live.replicas, ready=len(ready), unreached=unreached, restarts=restarts
        )
    problems = [
        *(obstacle_text(*obstacle) for obstacle in in_between),
        *([sources.failures[live.id]] if live and live.id in sources.failures else []),
        *errors,
    ]
    return {
        "name": model.name,
        "url": reverse("admin:registry_model_change", args=[model.id]),
        "state": state,
        "problem": next(iter(problems), ""),
        "text": {
            "state": words,
            "ready": f"{len(ready)} of {live.replicas}"
            if live and sources.reachable
            else formats.NOTHING,
            "bounds": _bounds(live) if live is not None else "",
            "version": live.version if live is not None else "not deployed",
            **load_text(load),
        },
    }


def _bounds(version: VersionSpec) -> str:
    if version.replica_bounds is None:
        return ""
    fewest, most = version.replica_bounds
    if version.replicas < most:
        return f"may grow to {most}"
    return f"at its limit of {most}" if fewest < most else ""
