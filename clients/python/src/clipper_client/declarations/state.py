"""The state of the server, as far as a declaration speaks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipper_client.declarations.document import Document
from clipper_client.operations.releases import listed
from clipper_client.transport.server import Server

Rows = Mapping[str, dict[str, Any]]

# Names of an objective's parts in a declaration.
OBJECTIVE = {"latency_ms": "slo_ms", "target": "slo_target", "window": "slo_window"}
ROUTE_DEFAULTS: Mapping[str, Any] = {"version": None, "role": "arm", "weight": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Models, their versions, applications and keys that work, each by name."""

    models: Rows
    versions: Mapping[str, Rows]
    applications: Rows
    keys: Rows


async def state_of(server: Server, document: Document | None, *, keys: bool = True) -> State:
    """Read what a document speaks of; without one, everything, `keys` if wanted."""
    models = {row["name"]: row for row in await listed(server, "models")}
    versions: dict[str, Rows] = {}
    for name in models if document is None else [m.name for m in document.models or ()]:
        if name in models:
            rows = await listed(server, f"models/{name}/versions")
            versions[name] = {row["version"]: row for row in rows}
    applications = {row["name"]: row for row in await listed(server, "applications")}
    known: Rows = {}
    if keys and (document is None or document.keys is not None):
        rows = await listed(server, "keys")
        # Newest first: of several keys of a name the newest one that works counts.
        known = {row["name"]: row for row in reversed(rows) if row["active"]}
    return State(models=models, versions=versions, applications=applications, keys=known)


def as_declared(application: Mapping[str, Any]) -> dict[str, Any]:
    """Return an application as a declaration of it would say it."""
    slo = {ours: application["slo"][theirs] for theirs, ours in OBJECTIVE.items()}
    routes = [route_of(route) for route in application["routes"]]
    return {**application, **slo, "routes": routes}


def route_of(route: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route with what it leaves out."""
    version = route.get("version")
    return {
        "model": route["model"],
        **{name: route.get(name, default) for name, default in ROUTE_DEFAULTS.items()},
        "version": None if version is None else str(version),
    }
