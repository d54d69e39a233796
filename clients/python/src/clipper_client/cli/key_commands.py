"""Commands about API keys, and the one that deletes."""

import sys

from clipper_client.cli.printing import complain, table
from clipper_client.cli.subcommand import Command, Options, Result, arg, flag, repeated
from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError
from clipper_client.operations.releases import listed
from clipper_client.options import application_path, model_path


def _list(client: Client, options: Options) -> Result:
    rows = [row for row in client.run(listed, "keys") if options.all or row["active"]]
    head = ["id", "name", "prefix", "scopes", "applications", "run_code", "expires_at", "active"]
    return Result(rows, table(head, [[row[name] for name in head] for row in rows]))


def _create(client: Client, options: Options) -> Result:
    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    said = {"name": options.name, "scopes": scopes, "applications": options.app}
    said |= {"expires_at": options.expires_at, "run_code": options.run_code}
    made = client.request("POST", "keys/", {name: v for name, v in said.items() if v})
    return Result(made, made["key"])


def _revoke(client: Client, options: Options) -> Result:
    rows = [row for row in client.run(listed, "keys") if row["active"]]
    named = options.which
    found = [row for row in rows if named in (row["name"], str(row["id"]), row["prefix"])]
    if len(found) != 1:
        many = ", ".join(str(row["id"]) for row in found) or "none"
        raise ClipperError(
            f"Expected one key that works called {named!r}, got {many}.", code="not_found"
        )
    path = f"keys/{found[0]['id']}"
    client.request("DELETE", path)
    text = f"{found[0]['name']} ({found[0]['prefix']}...) is revoked"
    return Result(client.request("GET", path), text)


KINDS = ("application", "model", "version")


def _delete(client: Client, options: Options) -> Result | int:
    path = _path_of(options.kind, options.name)
    client.request("GET", path)  # a name that isn't there is refused before anybody is asked
    if not options.yes and not _is_confirmed(options):
        complain("nothing was deleted")
        return 1
    client.request("DELETE", path)
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
    print(f"Delete {options.kind} {options.name}? [y/N] ", file=sys.stderr)
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
            arg("--scopes", "of predict,feedback,read,manage", default="predict,feedback"),
            repeated("--app", "only for this application", "NAME"),
            arg("--expires-at", "ISO 8601 with a zone", metavar="TIME"),
            flag("--run-code", "may deploy code of its own"),
        ],
        run=_create,
    ),
    Command(
        name="revoke",
        help="make a key useless, at once",
        arguments=[arg("which", "its number, name or prefix")],
        run=_revoke,
    ),
]
COMMANDS = [
    Command(name="keys", help="list, make and revoke API keys", commands=KEYS),
    Command(
        name="delete",
        help="delete an application, a model or a version",
        more="Asks first, unless --yes is given. Leaves alone what is in use.",
        arguments=[
            arg("kind", "what it is", choices=KINDS),
            arg("name", "its name; of a version MODEL:VERSION"),
            flag("-y --yes", "don't ask"),
        ],
        run=_delete,
    ),
]
