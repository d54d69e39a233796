"""The demo as `make run` shows it: seeded once, then asked a few real questions."""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import web
from .errors import StackError
from .layout import Layout, write_private
from .supervision import manage
from .terminal import SIDE, picture, say, side_by_side

APPLICATION = "digits"
# Scans of the last pages of the collection, written by other people than those of the first ones.
QUESTIONS = (-2, -9, -43, -161)
PICTURE_WIDTH = 2 * SIDE


class Scan(NamedTuple):
    """One handwritten digit: 64 grey values of 0 to 16, and what its writer meant."""

    pixels: list[float]
    digit: int


def seed_once(layout: Layout, *, environment: Mapping[str, str]) -> None:
    """On the first start train, register and deploy; later ones keep all, the port excepted."""
    if not layout.demo.exists():
        manage("seed_demo", environment=environment)
    if not layout.demo.exists():
        raise StackError(f"manage.py seed_demo wrote no {layout.demo}.")
    known = json.loads(layout.demo.read_text())
    if known.get("url") != layout.url:
        write_private(layout.demo, text=json.dumps(known | {"url": layout.url}, indent=2) + "\n")


def scans(positions: Sequence[int]) -> list[Scan]:
    """Digits out of scikit-learn's file, read without importing scikit-learn: that takes 2 s."""
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise StackError("scikit-learn isn't installed; run `make run` to set up .venv.")
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    rows = ([float(value) for value in lines[position].split(",")] for position in positions)
    return [Scan(pixels=row[:-1], digit=int(row[-1])) for row in rows]


def ask_questions(layout: Layout) -> None:
    """Send some scans to the demo application and print them above its answers."""
    api_key = json.loads(layout.demo.read_text())["api_key"]
    path = f"/api/v1/applications/{APPLICATION}/predict"
    asked = scans(QUESTIONS)
    say(f"Asking the application '{APPLICATION}' what these are:\n")
    for line in side_by_side([picture(scan.pixels) for scan in asked], width=PICTURE_WIDTH):
        say(f"  {line}")
    replies = [
        web.post(layout, path=path, body={"input": scan.pixels}, api_key=api_key) for scan in asked
    ]
    answers = [_words(reply, scan=scan) for reply, scan in zip(replies, asked, strict=True)]
    for line in side_by_side(answers, width=PICTURE_WIDTH):
        say(f"  {line}")
    for reply in replies:
        if reply.status != 200:
            raise StackError(f"{path} answered {reply.status}: {reply.body}")
    say(_detail(replies[0].body))


def _words(reply: web.Reply, *, scan: Scan) -> list[str]:
    """Two short lines below a picture."""
    if reply.status != 200:
        return ["no answer", f"HTTP {reply.status}"]
    if reply.body["default"]:
        return [f"default {reply.body['output']}", f"(it is {scan.digit})"]
    verdict = "right" if reply.body["output"] == scan.digit else f"it is {scan.digit}"
    confidence = reply.body.get("confidence")
    sure = f", {confidence:.0%} sure" if confidence is not None else ""
    return [f"{reply.body['output']:g}{sure}", f"({verdict})"]


def _detail(answer: dict[str, Any]) -> str:
    if answer["default"]:
        return f"\n  The first one in detail: {answer.get('default_explanation', answer)}"
    votes = ", ".join(f"{arm} says {output:g}" for arm, output in answer["models"].items())
    return f"\n  The first one in detail: {votes}; {answer['latency_ms']:.1f} ms."


def summary(layout: Layout) -> list[str]:
    """Where to go next, and with which name and password."""
    demo = json.loads(layout.demo.read_text())
    return [
        f"  Console        {layout.url}/admin/",
        f"                 {demo['admin_user']}  /  {demo['admin_password']}",
        f"  API and docs   {layout.url}/api/v1/docs/",
        f"  Feedback form  {layout.url}/feedback/{APPLICATION}/",
        f"  API key        {demo['api_key']}",
        f"  The same in    {layout.demo}",
    ]
