"""What would have to be done for what is there to be as declared; pure but for files' digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from clipper_client.declarations.document import DeclaredModel, DeclaredVersion, Document
from clipper_client.declarations.state import (
    Rows,
    State,
    as_declared,
    as_declared_version,
    route_of,
)

Action = Literal["create", "change", "deploy", "delete", "revoke", "conflict"]
Fields = Mapping[str, tuple[Any, Any]]

# What a version is; it gets a new name where these change.
FIXED = (
    *("runtime", "device", "allow_pickle", "method", "requirements", "python"),
    *("example", "allow_stale_libraries"),
)
# Said when it is made, and completed by its check.
COMPLETED = "signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step: `fields` are those that differ, old and new; `declared` is what it is made of."""

    action: Action
    kind: Literal["model", "version", "application", "key"]
    name: str
    fields: Fields = field(default_factory=dict)
    declared: Any = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        fields = {name: [old, new] for name, (old, new) in self.fields.items()}
        told = {"action": self.action, "kind": self.kind, "name": self.name, "fields": fields}
        return told | ({"reason": self.reason} if self.reason else {})


def plan(document: Document, *, state: State, prune: bool, own_key: str = "") -> list[Change]:
    """Return the steps in the order in which they can be taken; none where nothing differs.

    The caller's own key is not pruned: it is in use.
    """
    changes = [
        change for model in document.models or () for change in _of_model(model, state=state)
    ]
    changes += _of_applications(document.applications or {}, there=state.applications)
    changes += _of_keys(document.keys or {}, there=state.keys)
    return changes + (list(_pruned(document, state=state, own_key=own_key)) if prune else [])


def _of_model(model: DeclaredModel, *, state: State) -> Iterator[Change]:
    there = state.models.get(model.name)
    if there is None:
        new = {name: (None, value) for name, value in model.fields.items()}
        yield Change(action="create", kind="model", name=model.name, fields=new, declared=model)
    elif differing := _differing(model.fields, there=there):
        fixed = "input_type" in differing
        yield Change(
            action="conflict" if fixed else "change",
            kind="model",
            name=model.name,
            fields=differing,
            declared=model,
            reason="the input type of a model can't change" if fixed else "",
        )
    versions = state.versions.get(model.name, {})
    for version in model.versions or ():
        yield from _of_version(model, version, there=versions.get(version.version))
    live = None if there is None else there["live_version"]
    if model.live is not None and model.live != live:
        yield Change(
            action="deploy",
            kind="model",
            name=model.name,
            fields={"live": (live, model.live)},
            declared=model,
        )


def _of_version(
    model: DeclaredModel, version: DeclaredVersion, *, there: Mapping[str, Any] | None
) -> Iterator[Change]:
    name = f"{model.name}:{version.version}"
    digest = version.sha256()
    said = {**version.fields} if version.is_remote else {**version.fields, "digest": digest}
    declared = (model, version)
    if there is None and version.artifact is None and not version.is_remote:
        yield Change(
            action="conflict",
            kind="version",
            name=name,
            fields={"digest": (None, digest)},
            reason="it isn't there, and no artifact is named to upload",
        )
    elif there is None:
        new = {field: (None, value) for field, value in said.items()}
        yield Change(action="create", kind="version", name=name, fields=new, declared=declared)
    elif differing := _differing(
        {field: value for field, value in said.items() if field != COMPLETED},
        there=as_declared_version(there),
    ):
        remote = there.get("remote") or {}
        fixed = sorted({"digest", *FIXED, *remote} & differing.keys())
        reason = f"{', '.join(fixed)} of a version can't change: give it a new name"
        yield Change(
            action="conflict" if fixed else "change",
            kind="version",
            name=name,
            fields=differing,
            declared=declared,
            reason=reason if fixed else "",
        )


def _of_applications(declared: Rows | Mapping[str, Any], *, there: Rows) -> Iterator[Change]:
    for name, said in declared.items():
        wanted = {field: value for field, value in said.items() if field != "name"}
        if "routes" in wanted:
            wanted["routes"] = [route_of(route) for route in wanted["routes"] or []]
        if "policy" in wanted:
            wanted.setdefault("policy_params", {})  # which stands for a policy's defaults
        if name not in there:
            new = {field: (None, value) for field, value in wanted.items()}
            yield Change(
                action="create", kind="application", name=name, fields=new, declared=wanted
            )
            continue
        current = as_declared(there[name])
        if not current["has_default_output"]:
            current.pop("default_output")  # none at all is something else than null
        if differing := _differing(wanted, there=current):
            fixed = "input_type" in differing
            yield Change(
                action="conflict" if fixed else "change",
                kind="application",
                name=name,
                fields=differing,
                declared=wanted,
                reason="the input type of an application can't change" if fixed else "",
            )


def _of_keys(declared: Mapping[str, Any], *, there: Rows) -> Iterator[Change]:
    for name, said in declared.items():
        wanted = {"applications": None, **{f: v for f, v in said.items() if f != "name"}}
        if name not in there:
            new = {field: (None, value) for field, value in wanted.items() if value is not None}
            yield Change(action="create", kind="key", name=name, fields=new, declared=wanted)
        elif differing := _differing(wanted, there=there[name]):
            fixed = sorted(differing.keys() - {"expires_at"})
            reason = f"{', '.join(fixed)} of a key can't change: revoke it, or name another"
            yield Change(
                action="conflict" if fixed else "change",
                kind="key",
                name=name,
                fields=differing,
                declared=there[name],
                reason=reason if fixed else "",
            )


def _pruned(document: Document, *, state: State, own_key: str) -> Iterator[Change]:
    """Yield what is there and isn't declared, of the sections that the file has.

    Applications go first: they may ask the models, and pin the versions.
    """
    if document.applications is not None:
        for name in sorted(state.applications.keys() - document.applications.keys()):
            yield Change(action="delete", kind="application", name=name)
    for model in document.models or ():
        for name in _unnamed_versions(model, state=state):
            yield Change(action="delete", kind="version", name=f"{model.name}:{name}")
    if document.models is not None:
        for name in sorted(state.models.keys() - {model.name for model in document.models}):
            yield Change(action="delete", kind="model", name=name)
    if document.keys is not None:
        for name in sorted(state.keys.keys() - document.keys.keys()):
            if not own_key.startswith(state.keys[name]["prefix"]):
                yield Change(action="revoke", kind="key", name=name, declared=state.keys[name])


def _unnamed_versions(model: DeclaredModel, *, state: State) -> list[str]:
    """Those that a model which lists its versions doesn't name, but for the live one."""
    if model.versions is None or model.name not in state.models:
        return []
    kept = {version.version for version in model.versions}
    kept.add(model.live or state.models[model.name]["live_version"])
    return sorted(state.versions.get(model.name, {}).keys() - kept)


def _differing(said: Mapping[str, Any], *, there: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (there.get(name), value)
        for name, value in said.items()
        if name not in there or not _same(there[name], value, name=name)
    }


def _same(old: Any, new: Any, *, name: str) -> bool:
    if name in ("routes", "scopes", "applications") and isinstance(old, list):
        return sorted(map(_order, old)) == sorted(map(_order, new or []))
    if name == "expires_at" and old and new:
        return _moment(old) == _moment(new)
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    return bool(old == new)


def _order(value: Any) -> str:
    """Text to sort by that is the same for 1 and 1.0."""
    if isinstance(value, Mapping):
        return repr(sorted((name, _order(item)) for name, item in value.items()))
    return repr(float(value)) if isinstance(value, int | float) else repr(value)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
