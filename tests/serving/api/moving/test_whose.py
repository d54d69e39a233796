"""Whose a request is, and that the routers of both kinds of process see it alike."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import quote

from channels.routing import URLRouter
from django.urls import re_path
from hypothesis import example, given
from hypothesis import strategies as st

from serving.api import paths
from serving.api.whose import Kind, path_of, whose
from tests.serving.api.front_server import Front, client_of, request, running

OF_PREDICT = [
    "/api/v1/applications/digits/predict",
    "/api/v1/applications/digits/predict/",
    "/api/v1/applications/digits/feedback",
    "/api/v1/applications/digits/score/",
    "/api/v1/applications/digits/selection?context=a/b",
    "/digits/predict",
    "/digits/update/?x=/admin/",
    "/ws/v1/applications/digits",
    "/health/live",
    "/health/ready/",
    "/health/serving",
    # What stands in another form is the same to routers.
    "//api/v1/applications/digits/predict",
    "///health/live",
    "/api/v1/applications/dig%69ts/pred%69ct",
    "/%61pi/v1/applications/d/predict",
    "http://here/api/v1/applications/digits/predict?a=b",
    "HTTP://here:80//health/live",
    "/health/live#part",
    "/api/v1/applications/%E2%82%AC/predict",
]
OF_CONSOLE = [
    "/",
    "/api/v1/applications/a%2Fb/predict",
    "//",
    "*",
    "/admin/",
    "/admin/predict",
    "/api/predict",
    "/static/update/",
    "/metrics",
    "/health/",
    "/health/live//",
    "/api/v1/applications/digits/",
    "/api/v1/applications/digits/predict/more",
    "/api/v1/applications/digits/predict//",
    "/api/v1/applications//predict",
    "/API/v1/applications/digits/predict",
    "/api/v1/applications/digits/Predict",
    "/api/v1/applications/digits/selection/history/",
    "/api/v1/artifacts/00ff",
    "/api//v1/applications/digits/predict",
    "/api/v1/applications/digits/predict%0A",
    "/api/v1/applications/digits/predict%3Fa",
    "/api/v1/applications/../applications/digits/predict",
    "/ws/v1/applications/",
    "/health%2Flive/x",
    "/?next=/health/live",
    "http://here/admin/",
]
NOBODYS = ["http://here", "here:80", "health/live", "", "?health/live", "/\xff", "%2F"]


METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"]


def wrong(targets: list[str], *, right: Kind | None) -> list[str]:
    return [
        target
        for target in targets
        if {whose(method, target.encode("latin-1")) for method in METHODS} != {right}
    ]


def test_queries_are_those_of_predict() -> None:
    """So are a browser's question beforehand, and methods that they don't take."""
    of_any_method = [target for target in OF_PREDICT if "/selection" not in target]
    assert wrong(of_any_method, right=Kind.PREDICT) == []


def test_all_else_is_the_consoles() -> None:
    assert wrong(OF_CONSOLE, right=Kind.CONSOLE) == []


def test_what_is_no_target_is_nobodys() -> None:
    assert wrong(NOBODYS, right=None) == []


def test_what_was_learned_is_read_here_and_reset_there() -> None:
    found = {method: whose(method, b"/api/v1/applications/a/selection/") for method in METHODS}
    console = {method for method, kind in found.items() if kind is Kind.CONSOLE}
    assert console == {b"DELETE", b"PUT"}


async def routed(path: str) -> bool:
    """Whether Channels' router, given what a process for queries routes, finds a route."""
    found = False

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        nonlocal found
        found = True

    async def other(scope: Any, receive: Any, send: Any) -> None:
        """The last route."""

    routes = [
        *(re_path(f"^{getattr(paths, name)}$", cast(Any, endpoint)) for name in ROUTED),
        re_path("", cast(Any, other)),
    ]
    await URLRouter(routes)({"type": "http", "path": path}, None, None)
    return found


ROUTED = (
    "PREDICT", "OWN_PREDICT", "SCORE", "FEEDBACK", "OWN_UPDATE", "SELECTION", "LIVE", "READY",
    "SERVING", "SOCKET",
)  # fmt: skip
NAMES = ["api", "v1", "applications", "digits", "health", "ws", "admin", "static", "API", "\u20ac"]
LAST = ["predict", "update", "score", "feedback", "selection", "live", "ready", "serving"]
PARTS = st.sampled_from(["", "%", "..", "a\n", *NAMES, *LAST])
TARGETS = st.lists(PARTS, max_size=8).map("/".join)
QUERIES = st.sampled_from(["", "?/a/predict"])


@given(target=TARGETS | st.text(), escaped=st.booleans(), query=QUERIES)
@example(target="health/live\n", escaped=True, query="")
def test_a_router_comes_to_the_same_end(target: str, escaped: bool, query: str) -> None:
    raw = "/" + (quote(target, safe="" if escaped else "/")) + query
    path = path_of(raw.encode())
    assert path is not None
    is_predicts = whose(b"GET", raw.encode()) is Kind.PREDICT
    assert asyncio.run(routed("/" + path)) == is_predicts


async def test_the_path_is_the_one_that_the_server_finds() -> None:
    it = Front()
    targets = [target for target in OF_PREDICT + OF_CONSOLE if target != "*"]
    async with running(it), client_of(it) as client:
        for target in targets:
            await client.send(request(path=target.encode(), key=None))
            assert (await client.response())[0] == 200
    found = [path.lstrip("/") for _, path, _ in it.asked]
    assert found == [path_of(target.encode()) for target in targets]
