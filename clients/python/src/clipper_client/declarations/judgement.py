"""Has the server say which changes it would refuse, before any of them is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from clipper_client.declarations.document import DeclaredModel, DeclaredVersion
from clipper_client.declarations.forms import form_of
from clipper_client.declarations.plan import Change
from clipper_client.errors import ClipperError
from clipper_client.inputs import encoded
from clipper_client.retries import RetryPolicy, ask
from clipper_client.steps import Operation, Request

PATH = "/api/v1/declarations/check"
# The server takes so many at once; those beyond are judged when they are made.
MOST_STEPS = 500
# No secret leaves this machine for a judgement, which only asks where one would go.
STAND_IN = "secret"
# An older server has no such endpoint.
NOT_JUDGED = (404, 405)


def judged(changes: list[Change], *, policy: RetryPolicy) -> Operation[list[Change]]:
    """Return the changes; those that the server would refuse are conflicts, with its words."""
    steps = [_step(change) for change in changes if (change.action, change.kind) in SAID]
    if not steps:
        return changes
    body = encoded({"steps": steps[:MOST_STEPS]})
    try:
        response = yield from ask(Request(method="POST", path=PATH, body=body), policy=policy)
    except ClipperError as error:
        if error.status in NOT_JUDGED:
            return changes
        raise
    refused = {
        (each["action"], each["kind"], each["name"]): each["error"]
        for each in response.json()["refused"]
    }
    return [_refused(change, refused) for change in changes]


def _refused(change: Change, refused: Mapping[tuple[str, str, str], str]) -> Change:
    action = ACTIONS.get(change.action, "declare")
    reason = refused.get((action, change.kind, change.name))
    if reason is None or (change.action, change.kind) not in SAID:
        return change
    return replace(change, action="conflict", reason=reason.rstrip("."))


def _step(change: Change) -> dict[str, Any]:
    declared = SAID[change.action, change.kind](change)
    action = ACTIONS.get(change.action, "declare")
    return {"action": action, "kind": change.kind, "name": change.name, "declared": declared}


def _of_model(change: Change) -> Mapping[str, Any]:
    model: DeclaredModel = change.declared
    return model.fields


def _of_new_version(change: Change) -> Mapping[str, Any]:
    version: DeclaredVersion = change.declared[1]
    if not version.is_remote:
        return {**form_of(version), "digest": version.sha256()}
    secret = {} if version.secret_from is None else {"secret": STAND_IN}
    return {**version.fields, **secret}


def _of_application(change: Change) -> Mapping[str, Any]:
    declared: Mapping[str, Any] = change.declared
    return declared


def _of_new_key(change: Change) -> Mapping[str, Any]:
    return {name: value for name, value in change.declared.items() if value is not None}


def _of_deploy(change: Change) -> Mapping[str, Any]:
    model: DeclaredModel = change.declared
    return {"version": model.live}


def _of_revoked_key(change: Change) -> Mapping[str, Any]:
    return {"id": change.declared["id"]}


def _nothing(change: Change) -> Mapping[str, Any]:
    return {}


def _new_values(change: Change) -> Mapping[str, Any]:
    return {name: new for name, (_, new) in change.fields.items()}


# What else than being declared the server judges, as it calls it.
ACTIONS = {"deploy": "deploy", "delete": "delete", "revoke": "delete"}
# What the server judges, and what it is told of each; it says the rest when it is done.
SAID: Mapping[tuple[str, str], Callable[[Change], Mapping[str, Any]]] = {
    ("create", "model"): _of_model,
    ("change", "model"): _of_model,
    ("create", "version"): _of_new_version,
    ("change", "version"): _new_values,
    ("create", "application"): _of_application,
    ("change", "application"): _of_application,
    ("create", "key"): _of_new_key,
    ("change", "key"): _new_values,
    ("deploy", "model"): _of_deploy,
    ("delete", "application"): _nothing,
    ("delete", "model"): _nothing,
    ("delete", "version"): _nothing,
    ("revoke", "key"): _of_revoked_key,
}
