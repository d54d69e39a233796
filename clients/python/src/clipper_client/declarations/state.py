"""What there is, as far as a declaration speaks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipper_client.declarations.document import Document
from clipper_client.operations.management import listed
from clipper_client.retries import RetryPolicy
from clipper_client.steps import Operation

Rows = Mapping[str, dict[str, Any]]

# How a declaration calls the parts of an objective.
OBJECTIVE = {"latency_ms": "slo_ms", "target": "slo_target", "window": "slo_window"}
ROUTE_DEFAULTS: Mapping[str, Any] = {"version": None, "role": "arm", "weight": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Models, their versions, applications and keys that work, each by name."""

    models: Rows
    versions: Mapping[str, Rows]
    applications: Rows
    keys: Rows


def state_of(
    document: Document | None, *, keys: bool = True, policy: RetryPolicy
) -> Operation[State]:
    """Read what a document speaks of; without one, everything, `keys` if wanted."""
    models = yield from _by_name("models", policy=policy)
    versions: dict[str, Rows] = {}
    for name in models if document is None else _declared(document, there=models):
        rows = yield from listed(f"models/{name}/versions", policy=policy)
        versions[name] = {row["version"]: row for row in rows}
    applications = yield from _by_name("applications", policy=policy)
    known: Rows = {}
    if keys and (document is None or document.keys is not None):
        rows = yield from listed("keys", policy=policy)
        # Newest first: of several keys of a name the newest one that works counts.
        known = {row["name"]: row for row in reversed(rows) if row["active"]}
    return State(models=models, versions=versions, applications=applications, keys=known)


def as_declared(application: Mapping[str, Any]) -> dict[str, Any]:
    """Return an application as a declaration of it would say it."""
    slo = {ours: application["slo"][theirs] for theirs, ours in OBJECTIVE.items()}
    routes = [route_of(route) for route in application["routes"]]
    return {**application, **slo, "routes": routes}


def as_declared_version(version: Mapping[str, Any]) -> dict[str, Any]:
    """Return a version as a declaration would say it: what a remote one is told stands beside."""
    return {**version, **(version.get("remote") or {})}


def route_of(route: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route with what it leaves out."""
    version = route.get("version")
    return {
        "model": route["model"],
        **{name: route.get(name, default) for name, default in ROUTE_DEFAULTS.items()},
        "version": None if version is None else str(version),
    }


def _declared(document: Document, *, there: Rows) -> list[str]:
    return [model.name for model in document.models or () if model.name in there]


def _by_name(what: str, *, policy: RetryPolicy) -> Operation[Rows]:
    rows = yield from listed(what, policy=policy)
    return {row["name"]: row for row in rows}
