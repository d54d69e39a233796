"""Taking back a change: its old values are set again, by the services that set them."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from core.errors import Conflict
from registry.following.recording import registry_write
from registry.models import Application, AuditEntry, Model, ModelVersion
from registry.services.actor import Actor
from registry.services.applications import (
    CHANGEABLE,
    OBJECTIVE,
    RouteRequest,
    replace_routes,
    set_objective,
    update_application,
)
from registry.services.audit_trail import MASK, because, shown_state
from registry.services.models import update_model
from registry.services.row_writes import locked
from registry.services.versions import CONFIGURABLE, configure_version

Row = Application | Model | ModelVersion

# What can be set again of each kind of row.
FIELDS: dict[type[Row], frozenset[str]] = {
    Application: frozenset({*CHANGEABLE, *OBJECTIVE, "routes"}),
    Model: frozenset({"description"}),
    ModelVersion: frozenset(CONFIGURABLE),
}
KINDS: dict[str, type[Row]] = {str(model._meta.verbose_name): model for model in FIELDS}
ROUTE = re.compile(r"([^\s:]+)(?::(\S+))? \((\w+), (\S+)\)")
CUT = re.compile(r"… \(\d+ characters\)$")


def changed_row(entry: AuditEntry) -> Row | None:
    """Return the row that an entry is about, if it is of a kind whose changes can be reverted."""
    model = KINDS.get(entry.kind)
    if model is None:
        return None
    row: Row | None = model._default_manager.filter(pk=entry.object_id).first()
    return row


def why_not(entry: AuditEntry, *, state: Mapping[str, Any] | None) -> str:
    """Return why a change can't be reverted, "" if it can; `state` is that of its row, if any."""
    if entry.action != AuditEntry.Action.CHANGE or entry.kind not in KINDS:
        return "Only changes of settings can be reverted."
    if state is None:
        return f"{entry.name} was deleted."
    for name, (old, new) in entry.changes.items():
        if name not in FIELDS[KINDS[entry.kind]]:
            return f"{name} can't be set again."
        if old == MASK or (isinstance(old, str) and CUT.search(old)):
            return f"The old value of {name} isn't kept."
        if state.get(name) != new:
            return f"{name} has changed since."
    return ""


@registry_write
def revert(entry: AuditEntry, *, by: Actor, reason: str) -> None:
    """Set the old values again. Raises Conflict if they changed since, and what the services do."""
    row = changed_row(entry)
    state = None if row is None else shown_state(locked(row))
    problem = why_not(entry, state=state)
    if problem or row is None:
        raise Conflict(f"Not reverted: {problem}")
    old = {name: before for name, (before, _) in entry.changes.items()}
    with because(f"Revert of entry {entry.pk}: {reason}"):
        if isinstance(row, Application):
            _set_application(row, old=old, by=by)
        elif isinstance(row, Model):
            update_model(model=row, by=by, **old)
        else:
            configure_version(version=row, by=by, **old)


def _set_application(application: Application, *, old: dict[str, Any], by: Actor) -> None:
    objective = {name: old.pop(name) for name in OBJECTIVE if name in old}
    routes = old.pop("routes", None)
    if "policy" in old:  # a new policy starts with its defaults, unless they are named
        old.setdefault("policy_params", application.policy_params)
    if "default_output" in old:
        text = old["default_output"]
        old["default_output"] = msgspec.json.decode(text) if text else msgspec.UNSET
    if old:
        update_application(application=application, changes=old, by=by)
    if objective:
        set_objective(application=application, by=by, **objective)
    if routes is not None:
        wanted = [_request(text) for text in routes]
        replace_routes(application=application, routes=wanted, by=by)


def _request(text: str) -> RouteRequest:
    found = ROUTE.fullmatch(text)
    if found is None:
        raise Conflict(f"Not reverted: the route {text!r} isn't kept in a form that can be read.")
    model, version, role, weight = found.groups()
    return RouteRequest(model=model, version=version, role=role, weight=float(weight))
