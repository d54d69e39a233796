"""The rule by which connections move agrees with what each kind of web process routes."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from urllib.parse import quote

from clipper_site.stack.layout import ROOT
from serving.api.whose import Kind, path_of, whose
from tests.serving.api.moving.test_whose import LAST, METHODS, NAMES, OF_CONSOLE, OF_PREDICT

# Prints what the process for queries has a route for. Its settings are its own.
ROUTED = """
import json, sys
from clipper_site.predict_asgi import not_here, routes_of
mapping = routes_of(None).application_mapping
def routed(path):
    http = next(route for route in mapping["http"].routes if route.pattern.match(path))
    socket = mapping["websocket"].routes[0].pattern.match(path)
    assert not socket or http.callback is not not_here, path
    return http.callback is not not_here
print(json.dumps([routed(path) for path in json.load(sys.stdin)]))
"""
STARTS = ["", "api/v1/applications/", "ws/v1/applications/", "health/", "%61pi/v1/applications/"]


def targets() -> list[bytes]:
    """Every way to put a start, a name and a last part together, slashed and escaped."""
    ends = ["", "/", "//", "\n", "%0A", "?a=/predict"]
    together = itertools.product(STARTS, [*NAMES, "a\n", ""], ["/", "%2F", "//"], [*LAST, ""], ends)
    made = ["/" + "".join(parts) for parts in together]
    odd = [quote(target, safe="/%?=") for target in made]
    return [target.encode() for target in OF_PREDICT + OF_CONSOLE + odd]


def routed_by_predict(paths: list[str]) -> list[bool]:
    done = subprocess.run(
        [sys.executable, "-c", ROUTED],
        input=json.dumps(paths),
        cwd=ROOT,
        env={**os.environ, "DJANGO_SECRET_KEY": "k" * 50},
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    found: list[bool] = json.loads(done.stdout)
    return found


def test_what_moves_to_the_console_is_what_the_others_have_no_route_for() -> None:
    asked = targets()
    paths = [path_of(target) for target in asked]
    routed = routed_by_predict([path for path in paths if path is not None])
    kinds = [
        {whose(method, target) for method in METHODS}
        for target, path in zip(asked, paths, strict=True)
        if path is not None
    ]
    wrong = [
        target
        for target, kind, known in zip(asked, kinds, routed, strict=True)
        if (Kind.PREDICT in kind) != known
    ]
    assert wrong == []
    assert sum(routed) > 100
