"""Commands about API keys and environments, and the one that deletes."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from clipper_client.cli.command import Command, Options, Result, arg, complain, flag, table
from clipper_client.client import Client
from clipper_client.errors import ClipperError
from clipper_client.operations.releases import listed
from clipper_client.options import application_path, model_path

# --- API keys -----------------------------------------------------------------------------------


def _list(client: Client, options: Options) -> Result:
    rows = [row for row in client.run(listed, "keys") if options.all or row["active"]]
    cells = [
        [
            row["id"],
            row["name"],
            row["prefix"],
            [*row["scopes"], *(["run code"] if row["run_code"] else [])],
            "every application" if row["applications"] is None else row["applications"],
            row["expires_at"] or "never",
            "yes" if row["active"] else "no",
        ]
        for row in rows
    ]
    return Result(rows, table(["id", "name", "begins", "may", "for", "expires", "active"], cells))


def _create(client: Client, options: Options) -> Result:
    said: dict[str, Any] = {
        "name": options.name,
        "scopes": [scope.strip() for scope in options.scopes.split(",") if scope.strip()],
        "applications": options.app,
        "expires_at": options.expires_at,
        "run_code": options.run_code,
    }
    made = client.request("POST", "keys/", {name: v for name, v in said.items() if v})
    return Result(made, made["key"])


def _revoke(client: Client, options: Options) -> Result:
    found = [row for row in client.run(listed, "keys") if _is_named(row, options.which)]
    if len(found) != 1:
        many = ", ".join(str(row["id"]) for row in found) or "none"
        raise ClipperError(
            f"Expected one key that works called {options.which!r}, got {many}.", code="not_found"
        )
    path = f"keys/{found[0]['id']}"
    client.request("DELETE", path)
    text = f"{found[0]['name']} ({found[0]['prefix']}...) is revoked"
    return Result(client.request("GET", path), text)


def _is_named(row: dict[str, Any], text: str) -> bool:
    # Longer than the prefix it may be the whole key.
    named = text in (row["name"], str(row["id"])) or text.startswith(row["prefix"])
    return bool(row["active"] and named)


# --- Environments -------------------------------------------------------------------------------


def _environments(client: Client, options: Options) -> Result:
    rows: list[dict[str, Any]] = client.request("GET", "environments/")
    done = True
    if options.clean:
        removed = [_remove(client, row) for row in rows if not row["needed"]]
        done = all(removed)
        rows = client.request("GET", "environments/")
    cells = [
        [
            row["digest"][:12],
            row["python"],
            _size(max(host["bytes"] for host in row["hosts"])),
            max(host["used_at"] for host in row["hosts"])[:16].replace("T", " "),
            "yes" if row["needed"] else "no",
            row["versions"],
            [f"{host['host']} ({host['state']})" for host in row["hosts"]],
        ]
        for row in rows
    ]
    head = ["environment", "python", "size", "last used", "needed", "for", "hosts"]
    hosts = [host for row in rows for host in row["hosts"]]
    used, limits = Counter[str](), {host["host"]: host["limit_bytes"] for host in hosts}
    for host in hosts:
        used[host["host"]] += host["bytes"]
    kept = [
        f"{name} keeps {_size(used[name])} of at most {_size(most)}"
        for name, most in limits.items()
    ]
    return Result(rows, "\n".join([table(head, cells), *kept]).strip(), 0 if done else 1)


def _remove(client: Client, row: dict[str, Any]) -> bool:
    """Have every host remove one; False, with a complaint, if that is refused."""
    try:
        client.request("DELETE", f"environments/{row['digest']}")
    except ClipperError as error:
        complain(f"{row['digest'][:12]}: {error.message}")
        return False
    return True


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


# --- Deleting -----------------------------------------------------------------------------------

LOST = {
    "application": "with its routes, its feedback and what it learned; models stay",
    "model": "with all its versions",
    "version": "with its artifact, unless another version has the same one",
}


def _delete(client: Client, options: Options) -> Result | int:
    path = _path_of(options.kind, options.name)
    client.request("GET", path)  # a name that isn't there is refused before anybody is asked
    if not options.yes and not _is_confirmed(options):
        complain("nothing was deleted")
        return 1
    try:
        client.request("DELETE", path)
    except ClipperError as error:
        for application in error.details.get("applications", ()):
            complain(f"to unlink it: clipper route remove {application} {options.name}")
        raise
    value = {"kind": options.kind, "name": options.name, "deleted": True}
    return Result(value, f"{options.kind} {options.name} is deleted")


def _path_of(kind: str, name: str) -> str:
    if kind == "application":
        return application_path(name)
    if kind == "model":
        return model_path(name)
    model, colon, version = name.partition(":")
    if not colon:
        raise ValueError(f"Expected a version as MODEL:VERSION, got {name!r}.")
    return model_path(model, "versions", version)


def _is_confirmed(options: Options) -> bool:
    if not sys.stdin.isatty():
        raise ValueError("Expected --yes: nobody is at a terminal to be asked.")
    print(f"Delete {options.kind} {options.name}, {LOST[options.kind]}? [y/N] ", file=sys.stderr)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


KEYS = [
    Command(
        name="list",
        help="list the keys, newest first",
        arguments=[flag("--all", "those that are revoked or expired, too")],
        run=_list,
    ),
    Command(
        name="create",
        help="make a key, and print it: it is shown this once",
        arguments=[
            arg("name", "who uses it"),
            arg(
                "--scopes",
                "of predict,feedback,read,manage (predict,feedback)",
                default="predict,feedback",
            ),
            arg("--app", "only for this application", action="append", default=[], metavar="NAME"),
            arg("--expires-at", "ISO 8601 with a zone", metavar="TIME"),
            flag("--run-code", "may deploy code of its own"),
        ],
        run=_create,
    ),
    Command(
        name="revoke",
        help="make a key useless, at once",
        arguments=[arg("which", "its number, its name, or how it begins")],
        run=_revoke,
    ),
]
COMMANDS = [
    Command(
        name="environments",
        help="list the environments that hosts keep for versions, with their sizes",
        arguments=[flag("--clean", "remove those that no version in service needs")],
        run=_environments,
    ),
    Command(name="keys", help="list, make and revoke API keys", commands=KEYS),
    Command(
        name="delete",
        help="delete an application, a model or a version",
        more="Asks first, unless --yes is given. Names what still uses it, and leaves that alone.",
        arguments=[
            arg("kind", "what it is", choices=tuple(LOST)),
            arg("name", "its name; of a version MODEL:VERSION"),
            flag("-y --yes", "don't ask"),
        ],
        run=_delete,
    ),
]
