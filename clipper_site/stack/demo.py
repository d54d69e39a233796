"""The demo as `make run` shows it: seeded once, then asked a few real questions."""

import gzip
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clipper_site.stack.layout import Layout, write_private
from clipper_site.stack.stack_readiness import Reply, ask
from clipper_site.stack.supervision import manage
from clipper_site.stack.terminal import StackError, say

APPLICATION = "digits"
# Scans of the last pages of the collection, written by other people than those of the first ones.
QUESTIONS = (-2, -9, -43, -161)
# What seeding writes for people, and for the questions.
WRITTEN = {"api_key", "admin_user", "admin_password"}


def seed_once(layout: Layout, *, environment: Mapping[str, str]) -> bool:
    """On the first start train, register and deploy; later ones keep all, the port excepted."""
    try:
        if not layout.demo.exists():
            manage("seed_demo", environment=environment)
        known = _known(layout)
        if known.get("url") != layout.url:
            text = json.dumps(known | {"url": layout.url}, indent=2) + "\n"
            write_private(layout.demo, text=text)
    except (StackError, OSError) as error:
        say(f"There is no demo: {error}")
        return False
    return True


def _known(layout: Layout) -> dict[str, Any]:
    """Return what seeding left for people; raises StackError where that can't be read."""
    try:
        known = json.loads(layout.demo.read_text())
    except ValueError:
        known = None
    if not isinstance(known, dict) or not known.keys() >= WRITTEN:
        raise StackError(f"{layout.demo} can't be read; remove it to have the demo made anew.")
    return known


def scans(positions: Sequence[int]) -> list[tuple[list[float], int]]:
    """Return scans, 64 grey values of 0 to 16, each with the digit that its writer meant.

    They are read from scikit-learn's file without importing scikit-learn: that takes 2 s.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise StackError("scikit-learn isn't installed; run `make run` to set up .venv.")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    rows = ([float(value) for value in lines[position].split(",")] for position in positions)
    return [(row[:-1], int(row[-1])) for row in rows]


def ask_questions(layout: Layout) -> None:
    """Send some scans to the demo application and print them above its answers."""
    path = f"/api/v1/applications/{APPLICATION}/predict"
    try:
        api_key = _known(layout)["api_key"]
        asked = scans(QUESTIONS)
    except (StackError, OSError) as error:
        say(f"The demo isn't asked: {error}")
        return
    replies = []
    for pixels, _ in asked:
        reply = ask(layout, path, body={"input": pixels}, api_key=api_key)
        if reply.status != 200 or not isinstance(reply.body, dict):
            say(f"The demo application '{APPLICATION}' isn't there as it was: {reply.words()}")
            return
        replies.append(reply)
    say(f"Asking the application '{APPLICATION}' what some handwritten digits are:\n")
    for (_, digit), reply in zip(asked, replies, strict=True):
        say(f"  a {digit}: {_verdict(reply, digit=digit)}")


def _verdict(reply: Reply, *, digit: int) -> str:
    if reply.body["default"]:
        return f"default {reply.body['output']}"
    verdict = "right" if reply.body["output"] == digit else "wrong"
    confidence = reply.body.get("confidence")
    sure = f", {confidence:.0%} sure" if confidence is not None else ""
    return f"{reply.body['output']:g}{sure} ({verdict})"


def summary(layout: Layout) -> list[str]:
    """Return lines with the addresses, the name and the password to go on with."""
    demo = _known(layout)
    return [
        f"  Console        {layout.url}/admin/",
        f"                 {demo['admin_user']}  /  {demo['admin_password']}",
        f"  API and docs   {layout.url}/api/v1/docs/",
        f"  Feedback form  {layout.url}/feedback/{APPLICATION}/",
        f"  API key        {demo['api_key']}",
        f"  The same in    {layout.demo}",
    ]
