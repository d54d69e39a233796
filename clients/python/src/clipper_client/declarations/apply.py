"""Has the server judge a plan, takes its steps one after the other, and says what came of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from clipper_client.declarations.document import DeclaredModel, DeclaredVersion, Document
from clipper_client.declarations.forms import form_of
from clipper_client.declarations.judgement import judged
from clipper_client.declarations.plan import Change, plan
from clipper_client.declarations.state import State, state_of
from clipper_client.errors import INVALID_DECLARATION, ClipperError
from clipper_client.operations.management import model_path, released, request
from clipper_client.operations.uploading import uploaded
from clipper_client.retries import RetryPolicy
from clipper_client.steps import Operation

REASON = "clipper apply"


def differences(
    document: Document, *, prune: bool, own_key: str, policy: RetryPolicy
) -> Operation[list[Change]]:
    """Return what differs from a document; a conflict is also what the server would refuse."""
    state: State = yield from state_of(document, policy=policy)
    changes = plan(document, state=state, prune=prune, own_key=own_key)
    return (yield from judged(changes, policy=policy))


def check_possible(changes: list[Change]) -> None:
    """Raise ClipperError, before anything is done, where something can't be as declared."""
    check_conflicts(changes)
    for change in changes:
        if (change.action, change.kind) == ("create", "version"):
            _check_secret(*_declared(change))


def check_conflicts(changes: list[Change]) -> None:
    """Raise ClipperError where what is there can't become what is declared."""
    conflicts = [change for change in changes if change.action == "conflict"]
    if conflicts:
        told = "; ".join(f"{change.kind} {change.name}: {change.reason}" for change in conflicts)
        raise ClipperError(
            f"Nothing was changed: {told}.",
            code="conflict",
            details={"conflicts": [change.as_dict() for change in conflicts]},
        )


def _check_secret(model: DeclaredModel, version: DeclaredVersion) -> None:
    if version.secret_from is not None and version.secret_from not in os.environ:
        raise ClipperError(
            f"Nothing was changed: expected the environment variable {version.secret_from}, which "
            f"{model.name}:{version.version} takes its secret from.",
            code=INVALID_DECLARATION,
        )


def take(change: Change, *, policy: RetryPolicy) -> Operation[Any]:
    """Take one step; returns what the server answered."""
    return (yield from STEPS[change.action, change.kind](change, policy))


def _put_model(change: Change, policy: RetryPolicy) -> Operation[Any]:
    model: DeclaredModel = change.declared
    return (yield from request("PUT", model_path(model.name), body=model.fields, policy=policy))


def _upload(change: Change, policy: RetryPolicy) -> Operation[Any]:
    model, version = _declared(change)
    if version.is_remote:
        return (yield from _create_remote(model, version, policy))
    assert version.artifact is not None  # noqa: S101  # the plan says conflict otherwise
    fields = form_of(version)
    said = {"version": version.version, **fields}
    sent = yield from uploaded(model.name, version.artifact, fields=said, policy=policy)
    return sent.json()


def _create_remote(
    model: DeclaredModel, version: DeclaredVersion, policy: RetryPolicy
) -> Operation[Any]:
    body = {"version": version.version, **version.fields}
    if version.secret_from is not None:
        body["secret"] = os.environ[version.secret_from]
    path = f"{model_path(model.name, 'versions')}/"
    return (yield from request("POST", path, body=body, policy=policy))


def _configure(change: Change, policy: RetryPolicy) -> Operation[Any]:
    model, version = _declared(change)
    body = {name: new for name, (_, new) in change.fields.items()}
    path = model_path(model.name, "versions", version.version)
    return (yield from request("PATCH", path, body=body, policy=policy))


def _deploy(change: Change, policy: RetryPolicy) -> Operation[Any]:
    model: DeclaredModel = change.declared
    path = model_path(model.name, "versions", str(model.live), "deploy")
    return (yield from released(path, body={"reason": REASON}, wait=True, policy=policy))


def _put_application(change: Change, policy: RetryPolicy) -> Operation[Any]:
    path = f"applications/{quote(change.name)}"
    return (yield from request("PUT", path, body=change.declared, policy=policy))


def _create_key(change: Change, policy: RetryPolicy) -> Operation[Any]:
    body = {"name": change.name, **{n: v for n, v in change.declared.items() if v is not None}}
    return (yield from request("POST", "keys/", body=body, policy=policy))


def _change_key(change: Change, policy: RetryPolicy) -> Operation[Any]:
    body = {name: new for name, (_, new) in change.fields.items()}
    path = f"keys/{change.declared['id']}"
    return (yield from request("PATCH", path, body=body, policy=policy))


def _revoke_key(change: Change, policy: RetryPolicy) -> Operation[Any]:
    return (yield from request("DELETE", f"keys/{change.declared['id']}", policy=policy))


def _delete(change: Change, policy: RetryPolicy) -> Operation[Any]:
    name, _, version = change.name.partition(":")
    if change.kind == "application":
        path = f"applications/{quote(name)}"
    else:
        path = model_path(name, *(["versions", version] if version else []))
    return (yield from request("DELETE", path, policy=policy))


def _declared(change: Change) -> tuple[DeclaredModel, DeclaredVersion]:
    model, version = change.declared
    return model, version


STEPS: Mapping[tuple[str, str], Callable[[Change, RetryPolicy], Operation[Any]]] = {
    ("create", "model"): _put_model,
    ("change", "model"): _put_model,
    ("deploy", "model"): _deploy,
    ("delete", "model"): _delete,
    ("create", "version"): _upload,
    ("change", "version"): _configure,
    ("delete", "version"): _delete,
    ("create", "application"): _put_application,
    ("change", "application"): _put_application,
    ("delete", "application"): _delete,
    ("create", "key"): _create_key,
    ("change", "key"): _change_key,
    ("revoke", "key"): _revoke_key,
}
