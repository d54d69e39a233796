"""The kept state of an older version: where it lies, and what is compared of it."""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
STATE, REPORTED = HERE / "state.tar.xz", HERE / "reported.json"
DATABASE = "clipper.sqlite3"
# Secret to nobody, as it lies in the repository: it signs this state's receipts and records alone.
SECRET_KEY = "signs-the-receipts-of-the-state-that-tests-upgrade"

CONTEXTS = ("", "ann", "bob")
# The pages of the console's registry, as the API lists them.
LISTS = ("applications/", "models/", "audit/")

A_WHILE = timedelta(minutes=2)


def unpack(var: Path) -> None:
    """Make `var` the folder of a stack that has just been stopped."""
    with tarfile.open(STATE) as archive:
        archive.extractall(var, filter="data")
    make_recent(var / DATABASE)


def make_recent(database: Path) -> None:
    """Move the snapshots of selection to a while ago: after a month they would be thinned out.

    What the stack adds when it has started must not be shown as one with the last of them.
    """
    with closing(sqlite3.connect(database)) as opened, opened:
        (last,) = opened.execute("SELECT max(at) FROM selection_selectionsnapshot").fetchone()
        later = datetime.now(UTC) - A_WHILE - datetime.fromisoformat(last).replace(tzinfo=UTC)
        for key, *times in opened.execute("SELECT id, since, at FROM selection_selectionsnapshot"):
            moved = [moved_on(text, by=later) for text in times]
            query = "UPDATE selection_selectionsnapshot SET since = ?, at = ? WHERE id = ?"
            opened.execute(query, (*moved, key))


def moved_on(text: str, *, by: timedelta) -> str:
    return (datetime.fromisoformat(text) + by).isoformat(sep=" ")


def listed(client: httpx.Client, path: str, **parameters: Any) -> Any:
    response = client.get(f"/api/v1/{path}", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def report(client: httpx.Client) -> dict[str, Any]:
    """What the API says of a state: all that the registry has, and all that was learned."""
    applications = [row["name"] for row in listed(client, "applications/")]
    models = [row["name"] for row in listed(client, "models/")]
    paths = [f"applications/{name}/selection/history" for name in applications]
    return {
        "lists": {
            path: listed(client, path)
            for path in (
                *LISTS,
                *(f"models/{name}/{what}/" for name in models for what in ("versions", "releases")),
                *(f"applications/{name}/contexts" for name in applications),
            )
        },
        "learned": {
            name: {
                context: listed(client, f"applications/{name}/selection", context=context)
                for context in CONTEXTS
            }
            for name in applications
        },
        "points": {path: listed(client, path)["points"] for path in paths},
    }
