"""The command about the environments that hosts keep for versions."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import complain, print_json, print_line, print_table
from clipper_client.client import Client
from clipper_client.errors import ClipperError

DIGEST_SHOWN = 12


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clean", action="store_true", help="remove those that no version in service needs"
    )


def _environments(client: Client, options: Options) -> int:
    rows: list[dict[str, Any]] = client.request("GET", "environments/")
    done = True
    if options.clean:
        removed = [_remove(client, row) for row in rows if not row["needed"]]
        done = all(removed)
        rows = client.request("GET", "environments/")
    if options.json:
        print_json(rows)
        return 0 if done else 1
    print_table(
        ["environment", "python", "size", "last used", "needed", "for", "hosts"],
        [
            [
                row["digest"][:DIGEST_SHOWN],
                row["python"],
                _size(max(host["bytes"] for host in row["hosts"])),
                max(host["used_at"] for host in row["hosts"])[:16].replace("T", " "),
                "yes" if row["needed"] else "no",
                row["versions"],
                [f"{host['host']} ({host['state']})" for host in row["hosts"]],
            ]
            for row in rows
        ],
    )
    hosts = [host for row in rows for host in row["hosts"]]
    used, limits = Counter[str](), {host["host"]: host["limit_bytes"] for host in hosts}
    for host in hosts:
        used[host["host"]] += host["bytes"]
    for name, limit in limits.items():
        print_line(f"{name} keeps {_size(used[name])} of at most {_size(limit)}")
    return 0 if done else 1


def _remove(client: Client, row: dict[str, Any]) -> bool:
    """Have every host remove one; False, with a complaint, if that is refused."""
    try:
        client.request("DELETE", f"environments/{row['digest']}")
    except ClipperError as error:
        complain(f"{row['digest'][:DIGEST_SHOWN]}: {error.message}")
        return False
    return True


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


COMMANDS = (
    Command(
        name="environments",
        help="list the environments that hosts keep for versions, with their sizes",
        add_arguments=_add_arguments,
        run=_environments,
    ),
)
