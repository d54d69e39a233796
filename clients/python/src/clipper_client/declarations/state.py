"""The state of the server as declarations describe it, and its export as a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from clipper_client.declarations.document import Document
from clipper_client.operations.releases import listed
from clipper_client.transport.remote_server import Server

Rows = Mapping[str, dict[str, Any]]

# Fields that make a version what it is; it gets a new name if these change.
FIXED = frozenset(
    {"runtime", "device", "allow_pickle", "method", "requirements", "python"}
    | {"example", "allow_stale_libraries"}
)
# Said when it is made, and completed by its check.
COMPLETED = "signature"
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
    # Models with the version that an open rollout is of.
    rolling_out: frozenset[tuple[str, str]] = frozenset()


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
        works = [row for row in reversed(rows) if row["active"] and "join" not in row["scopes"]]
        known = {row["name"]: row for row in works}
    rolling_out = set()
    for model in () if document is None else document.models or ():
        if model.rollout and model.name in models:
            rows = await listed(server, f"models/{model.name}/rollouts")
            rolling_out |= {(model.name, row["version"]) for row in rows[:1] if _is_open(row)}
    return State(
        models=models,
        versions=versions,
        applications=applications,
        keys=known,
        rolling_out=frozenset(rolling_out),
    )


def _is_open(rollout: Mapping[str, Any]) -> bool:
    return rollout["ended_at"] is None


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


# Facts of applications and versions that the server finds out, and nobody declares.
OF_APPLICATIONS = frozenset(
    {"has_default_output", "slo", "created_at", "updated_at", "routes", "default_output"}
)
OF_VERSIONS = frozenset(
    {"model", "size", "remote", "has_secret", "live", "warm_until", "validated_at", "n_features"}
    | {"check", "load_error", "created_at", "created_by", "digest", COMPLETED}
)
EMPTY: tuple[Any, ...] = (None, "", {}, [])


def exported(state: State, *, keys: bool) -> dict[str, Any]:
    """Return what changes nothing if it is declared; without artifacts and secrets."""
    document = {
        "models": [_model(row, state=state) for row in state.models.values()],
        "applications": [_application(row) for row in state.applications.values()],
    }
    if keys:
        document["keys"] = [_key(row) for row in state.keys.values()]
    return document


def as_yaml(document: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100)
    return text


def _model(row: Mapping[str, Any], *, state: State) -> dict[str, Any]:
    rows = state.versions.get(row["name"], {}).values()
    versions = [_version(version, model=row["name"]) for version in rows]
    said = {
        "name": row["name"],
        "input_type": row["input_type"],
        "description": row["description"],
        "versions": versions[::-1],  # the oldest first
        "live": row["live_version"],
    }
    return {name: value for name, value in said.items() if value not in EMPTY}


def _version(row: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    said = {name: value for name, value in row.items() if name not in OF_VERSIONS}
    if row.get("remote") is None:
        said["digest"] = row["digest"]
    else:
        # No artifact says what its inputs are.
        for name in FIXED - {"runtime", "example"}:
            said.pop(name, None)
        said |= {**row["remote"], COMPLETED: row.get(COMPLETED)}
        if row.get("has_secret"):
            name = f"{model}_{row['version']}_SECRET"
            said["secret_from"] = name.upper().replace("-", "_")
    return {name: value for name, value in said.items() if value not in EMPTY}


def _application(row: Mapping[str, Any]) -> dict[str, Any]:
    declared = as_declared(row)
    said = {name: value for name, value in declared.items() if name not in OF_APPLICATIONS}
    said = {name: value for name, value in said.items() if value not in EMPTY}
    if row["has_default_output"]:
        said["default_output"] = row["default_output"]
    routes = [
        {name: value for name, value in route.items() if value != ROUTE_DEFAULTS.get(name, "")}
        for route in declared["routes"]
    ]
    return {**said, **({"routes": routes} if routes else {})}


def _key(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "scopes", "run_code", "applications", "expires_at")
    return {name: row[name] for name in names if row[name] not in (None, False)}
