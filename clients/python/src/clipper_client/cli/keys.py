"""The command about API keys."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import print_json, print_line, print_table
from clipper_client.client import Client
from clipper_client.errors import ClipperError
from clipper_client.operations.management import listed
from clipper_client.retries import RetryPolicy


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    lists = actions.add_parser("list", help="list the keys, newest first")
    lists.add_argument("--all", action="store_true", help="those that are revoked or expired, too")
    creates = actions.add_parser("create", help="make a key, and print it: it is shown this once")
    creates.add_argument("name", help="who uses it")
    creates.add_argument(
        "--scopes",
        default="predict,feedback",
        help="of predict,feedback,read,manage (predict,feedback)",
    )
    creates.add_argument(
        "--app", action="append", default=[], metavar="NAME", help="only for this application"
    )
    creates.add_argument("--expires-at", metavar="TIME", help="ISO 8601 with a zone")
    creates.add_argument("--run-code", action="store_true", help="may deploy code of its own")
    revokes = actions.add_parser("revoke", help="make a key useless, at once")
    revokes.add_argument("which", help="its number, its name, or how it begins")
    for added in (lists, creates, revokes):
        added.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="print JSON, for programs",
        )


def _keys(client: Client, options: Options) -> int:
    return {"list": _list, "create": _create, "revoke": _revoke}[options.action](client, options)


def _list(client: Client, options: Options) -> int:
    rows = [row for row in _rows(client) if options.all or row["active"]]
    if options.json:
        print_json(rows)
        return 0
    print_table(
        ["id", "name", "begins", "may", "for", "expires", "active"],
        [
            [
                row["id"],
                row["name"],
                row["prefix"],
                ", ".join([*row["scopes"], *(["run code"] if row["run_code"] else [])]),
                "every application"
                if row["applications"] is None
                else ", ".join(row["applications"]),
                row["expires_at"] or "never",
                "yes" if row["active"] else "no",
            ]
            for row in rows
        ],
    )
    return 0


def _create(client: Client, options: Options) -> int:
    said: dict[str, Any] = {
        "name": options.name,
        "scopes": [scope.strip() for scope in options.scopes.split(",") if scope.strip()],
        "applications": options.app,
        "expires_at": options.expires_at,
        "run_code": options.run_code,
    }
    made = client.request("POST", "keys/", {name: v for name, v in said.items() if v})
    if options.json:
        print_json(made)
    else:
        print_line(made["key"])
    return 0


def _revoke(client: Client, options: Options) -> int:
    found = list(_named(_rows(client), options.which))
    if len(found) != 1:
        many = ", ".join(str(row["id"]) for row in found) or "none"
        raise ClipperError(
            f"Expected one key that works called {options.which!r}, got {many}.", code="not_found"
        )
    client.request("DELETE", f"keys/{found[0]['id']}")
    if options.json:
        print_json(client.request("GET", f"keys/{found[0]['id']}"))
    else:
        print_line(f"{found[0]['name']} ({found[0]['prefix']}...) is revoked")
    return 0


def _rows(client: Client) -> list[dict[str, Any]]:
    return client.run(listed("keys", policy=RetryPolicy()))


def _named(rows: list[dict[str, Any]], text: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        # Longer than the prefix it may be the whole key.
        begins = text.startswith(row["prefix"]) or text == row["name"]
        if row["active"] and (str(row["id"]) == text or begins):
            yield row


COMMANDS = (
    Command(
        name="keys",
        help="list, make and revoke API keys",
        add_arguments=_add_arguments,
        run=_keys,
    ),
)
