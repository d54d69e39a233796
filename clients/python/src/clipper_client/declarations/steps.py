"""The steps of a plan: judged by the server beforehand, then taken one after the other."""

import os
from dataclasses import replace
from typing import Any

import msgspec

from clipper_client.clipper_error import ClipperError
from clipper_client.declarations.document import DeclaredVersion, Document
from clipper_client.declarations.plan import Change, plan
from clipper_client.declarations.state import state_of
from clipper_client.inputs import encoded
from clipper_client.operations.releases import released, uploaded
from clipper_client.options import application_path, model_path
from clipper_client.transport.remote_server import Server

REASON = "clipper apply"
# No secret leaves this machine for a judgement, which only asks where one would go.
STAND_IN = {"secret": "secret"}
# The server's names of the actions that it judges; the others are `declare`.
JUDGED = {"deploy": "deploy", "delete": "delete", "revoke": "delete"}


async def differences(
    server: Server, document: Document, *, prune: bool, own_key: str
) -> list[Change]:
    """Return what differs from a document; a conflict is also what the server would refuse."""
    state = await state_of(server, document)
    changes = plan(document, state=state, prune=prune, own_key=own_key)
    steps = [_judged(change) for change in changes if change.action != "conflict"]
    if not steps:
        return changes
    # The server judges so many at once; those beyond are judged when they are made.
    path, body = "/api/v1/declarations/check", encoded({"steps": steps[:500]})
    refused = {
        (each["action"], each["kind"], each["name"]): each["error"].rstrip(".")
        for each in (await server.json("POST", path, body=body))["refused"]
    }
    return [
        replace(change, action="conflict", reason=refused[_key(change)])
        if change.action != "conflict" and _key(change) in refused
        else change
        for change in changes
    ]


def _key(change: Change) -> tuple[str, str, str]:
    return JUDGED.get(change.action, "declare"), change.kind, change.name


def _judged(change: Change) -> dict[str, Any]:
    action, kind, name = _key(change)
    declared = change.body
    if change.version is not None and change.version.is_remote:
        declared = {**declared, **(STAND_IN if change.version.secret_from else {})}
    elif change.version is not None:
        declared = {**form_of(change.version), "digest": change.version.sha256()}
    elif action == "delete" and kind == "key":
        declared = {"id": change.key_id}
    return {"action": action, "kind": kind, "name": name, "declared": declared}


def check_possible(changes: list[Change]) -> None:
    """Raise ClipperError, before anything is done, if something can't be as declared."""
    check_conflicts(changes)
    for change in changes:
        variable = None if change.version is None else change.version.secret_from
        if variable is not None and variable not in os.environ:
            raise ClipperError(
                f"Nothing was changed: expected the environment variable {variable}, which "
                f"{change.name} takes its secret from.",
                code="invalid_declaration",
            )


def check_conflicts(changes: list[Change]) -> None:
    """Raise ClipperError if what is there can't become what is declared."""
    conflicts = [change for change in changes if change.action == "conflict"]
    if conflicts:
        reasons = "; ".join(f"{each.kind} {each.name}: {each.reason}" for each in conflicts)
        raise ClipperError(
            f"Nothing was changed: {reasons}.",
            code="conflict",
            details={"conflicts": [change.as_dict() for change in conflicts]},
        )


async def take(server: Server, change: Change) -> Any:
    """Take one step; returns what the server answered."""
    name, _, version = change.name.partition(":")
    if change.action == "deploy":
        path = model_path(name, "versions", change.body["version"], "deploy")
        plan = {key: change.body[key] for key in ("rollout",) if key in change.body}
        # A rollout may take days.
        return await released(server, path, body={"reason": REASON, **plan}, wait=not plan)
    if change.version is not None:
        return await _create(server, name, change.version)
    if change.kind == "key":
        path = "/api/v1/keys/" if change.key_id is None else f"/api/v1/keys/{change.key_id}"
    elif change.kind == "application":
        path = application_path(name)
    else:
        path = model_path(name, *(["versions", version] if version else []))
    if change.action in ("delete", "revoke"):
        method = "DELETE"
    elif change.kind in ("model", "application"):
        method = "PUT"
    else:
        method = "POST" if change.action == "create" else "PATCH"
    said = {"name": name, **change.body} if method == "POST" else change.body
    body = None if method == "DELETE" else encoded(dict(said))
    repeatable = method in ("PUT", "DELETE")
    return await server.json(method, path, body=body, repeatable=repeatable)


async def _create(server: Server, model: str, version: DeclaredVersion) -> Any:
    said = {"version": version.version}
    if version.artifact is not None:
        fields = said | form_of(version)
        return await uploaded(server, model, version.artifact, fields=fields)
    body = {**said, **version.fields}
    if version.secret_from is not None:
        body["secret"] = os.environ[version.secret_from]
    path = f"{model_path(model, 'versions')}/"
    return await server.json("POST", path, body=encoded(body), repeatable=False)


def form_of(version: DeclaredVersion) -> dict[str, str]:
    """Return the fields of the form that a version is uploaded with, but for its name."""
    return {
        # An input or a signature is JSON there, also if it is a text.
        name: value
        if isinstance(value, str) and name not in ("example", "signature")
        else msgspec.json.encode(value).decode()
        for name, value in version.fields.items()
        if value is not None
    }
