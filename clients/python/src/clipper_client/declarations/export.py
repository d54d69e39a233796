"""Writes what is there as a file that declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from clipper_client.declarations.plan import COMPLETED, FIXED
from clipper_client.declarations.state import ROUTE_DEFAULTS, State, as_declared, route_of

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
    """Return what, declared where it comes from, changes nothing.

    Artifacts aren't in it: versions are named by their digests, but for remote ones. Nor are
    secrets: where a remote version has one, a variable is named that it would be taken from.
    """
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
            said["secret_from"] = _variable(f"{model}_{row['version']}_SECRET")
    return {name: value for name, value in said.items() if value not in EMPTY}


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _application(row: Mapping[str, Any]) -> dict[str, Any]:
    declared = as_declared(row)
    said = {name: value for name, value in declared.items() if name not in OF_APPLICATIONS}
    said = {name: value for name, value in said.items() if value not in EMPTY}
    if row["has_default_output"]:
        said["default_output"] = row["default_output"]
    routes = [_short(route_of(route)) for route in row["routes"]]
    return {**said, **({"routes": routes} if routes else {})}


def _short(route: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in route.items() if value != ROUTE_DEFAULTS.get(name, "")}


def _key(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "scopes", "run_code", "applications", "expires_at")
    return {name: row[name] for name in names if row[name] not in (None, False)}
