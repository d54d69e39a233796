"""The steps from what is there to what is declared; pure but for files' digests."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from clipper_client.declarations.document import DeclaredModel, DeclaredVersion, Document
from clipper_client.declarations.state import COMPLETED, FIXED, Rows, State, as_declared, route_of

Action = Literal["create", "change", "deploy", "delete", "revoke", "conflict"]
Fields = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step: `fields` that differ, old and new, and the `body` that is sent."""

    action: Action
    kind: Literal["model", "version", "application", "key"]
    name: str
    fields: Fields = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    version: DeclaredVersion | None = None
    key_id: int | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        fields = {name: [old, new] for name, (old, new) in self.fields.items()}
        found = {"action": self.action, "kind": self.kind, "name": self.name, "fields": fields}
        return found | ({"reason": self.reason} if self.reason else {})


def plan(document: Document, *, state: State, prune: bool, own_key: str = "") -> list[Change]:
    """Return the steps in order. The caller's own key is in use, and isn't pruned."""
    changes = [
        change for model in document.models or () for change in _of_model(model, state=state)
    ]
    changes += _of_applications(document.applications or {}, there=state.applications)
    changes += _of_keys(document.keys or {}, there=state.keys)
    return changes + (list(_pruned(document, state=state, own_key=own_key)) if prune else [])


def _of_model(model: DeclaredModel, *, state: State) -> Iterator[Change]:
    there = state.models.get(model.name)
    yield from _change("model", model.name, model.fields, there=there, fixed=("input_type",))
    versions = state.versions.get(model.name, {})
    for version in model.versions or ():
        yield from _of_version(model, version, there=versions.get(version.version))
    live = None if there is None else there["live_version"]
    is_rolled_out = (model.name, model.live) in state.rolling_out
    if model.live is not None and model.live != live and not is_rolled_out:
        plan = {"rollout": model.rollout} if model.rollout and live is not None else {}
        yield Change(
            action="deploy",
            kind="model",
            name=model.name,
            fields={"live": (live, model.live)},
            body={"version": model.live, **plan},
        )


def _of_version(
    model: DeclaredModel, version: DeclaredVersion, *, there: Mapping[str, Any] | None
) -> Iterator[Change]:
    name = f"{model.name}:{version.version}"
    said = dict(version.fields)
    if not version.is_remote:
        said["digest"] = version.sha256()
    if there is None and version.artifact is None and not version.is_remote:
        yield Change(
            action="conflict",
            kind="version",
            name=name,
            fields={"digest": (None, version.digest)},
            reason="it isn't there, and no artifact is named to upload",
        )
    elif there is None:
        for change in _change("version", name, said, there=None):
            yield replace(change, body=version.fields, version=version)
    else:
        said.pop(COMPLETED, None)
        remote = there.get("remote") or {}
        fixed = ("digest", *FIXED, *remote)
        yield from _change("version", name, said, there={**there, **remote}, fixed=fixed)


def _of_applications(declared: Rows | Mapping[str, Any], *, there: Rows) -> Iterator[Change]:
    for name, said in declared.items():
        wanted = {field: value for field, value in said.items() if field != "name"}
        if "routes" in wanted:
            wanted["routes"] = [route_of(route) for route in wanted["routes"] or []]
        if "policy" in wanted:
            wanted.setdefault("policy_params", {})  # which stands for a policy's defaults
        current = as_declared(there[name]) if name in there else None
        if current is not None and not current["has_default_output"]:
            current.pop("default_output")  # none at all is something else than null
        yield from _change("application", name, wanted, there=current, fixed=("input_type",))


def _of_keys(declared: Mapping[str, Any], *, there: Rows) -> Iterator[Change]:
    for name, said in declared.items():
        current = there.get(name)
        wanted = {"applications": None, **{f: v for f, v in said.items() if f != "name"}}
        fixed = tuple(wanted.keys() - {"expires_at"})
        for change in _change("key", name, wanted, there=current, fixed=fixed):
            if current is not None:
                yield replace(change, key_id=current["id"])
            else:
                body = {field: value for field, value in wanted.items() if value is not None}
                fields = {field: (None, value) for field, value in body.items()}
                yield replace(change, body=body, fields=fields)


def _change(
    kind: Literal["model", "version", "application", "key"],
    name: str,
    said: Mapping[str, Any],
    *,
    there: Mapping[str, Any] | None,
    fixed: tuple[str, ...] = (),
) -> Iterator[Change]:
    """Yield how something is made or changed, or the conflict if `fixed` fields differ."""
    if there is None:
        new = {field: (None, value) for field, value in said.items()}
        yield Change(action="create", kind=kind, name=name, fields=new, body=said)
        return
    differing = {
        field: (there.get(field), value)
        for field, value in said.items()
        if field not in there or not _same(there[field], value, name=field)
    }
    if conflicts := sorted(set(fixed) & differing.keys()):
        reason = f"{', '.join(conflicts)} of this {kind} can't change: "
        advice = "revoke it, or name another" if kind == "key" else "give it a new name"
        yield Change(
            action="conflict", kind=kind, name=name, fields=differing, reason=reason + advice
        )
    elif differing:
        # A model and an application are declared as a whole.
        changed = {field: new for field, (_, new) in differing.items()}
        body = said if kind in ("model", "application") else changed
        yield Change(action="change", kind=kind, name=name, fields=differing, body=body)


def _pruned(document: Document, *, state: State, own_key: str) -> Iterator[Change]:
    """Yield what isn't declared. Applications go first: they may ask models and pin versions."""
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
                yield Change(action="revoke", kind="key", name=name, key_id=state.keys[name]["id"])


def _unnamed_versions(model: DeclaredModel, *, state: State) -> list[str]:
    """Return what a model that lists its versions doesn't name, but for the live one."""
    if model.versions is None or model.name not in state.models:
        return []
    kept = {version.version for version in model.versions}
    kept.add(model.live or state.models[model.name]["live_version"])
    return sorted(state.versions.get(model.name, {}).keys() - kept)


def _same(old: Any, new: Any, *, name: str) -> bool:
    if name in ("routes", "scopes", "applications") and isinstance(old, list):
        return sorted(map(_order, old)) == sorted(map(_order, new or []))
    if name == "expires_at" and old and new:
        return _moment(old) == _moment(new)
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    return bool(old == new)


def _order(value: Any) -> str:
    if isinstance(value, Mapping):
        return repr(sorted((name, _order(item)) for name, item in value.items()))
    return repr(float(value)) if isinstance(value, int | float) else repr(value)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
