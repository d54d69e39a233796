"""The ASGI application: raw prediction endpoints in front, Django behind, websockets beside."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from contextlib import ExitStack
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import URLPattern, re_path

django.setup(set_prefix=False)

from clipper_site.bodies import with_limited_bodies  # noqa: E402  (Django must be set up first)
from clipper_site.held_database import held_open  # noqa: E402
from clipper_site.runtime import artifact_downloads, new_limits, new_runtime  # noqa: E402
from clipper_site.uploads import UploadHandlingASGIHandler, clear_remnants  # noqa: E402
from serving.api.cors import with_cors  # noqa: E402
from serving.api.feedback import (  # noqa: E402
    feedback_endpoint,
    selection_endpoint,
    update_endpoint,
)
from serving.api.front import DirectPredictions  # noqa: E402
from serving.api.health import live_endpoint, metrics_endpoint, ready_endpoint  # noqa: E402
from serving.api.http import Endpoint, Receive, Scope, Send  # noqa: E402
from serving.api.limits import LIMITS_KEY  # noqa: E402
from serving.api.noted_changes import with_noted_changes  # noqa: E402
from serving.api.paths import APP, OWN_PATH  # noqa: E402
from serving.api.predict import predict_endpoint  # noqa: E402
from serving.api.release_wait import with_release_waits  # noqa: E402
from serving.api.score import score_endpoint  # noqa: E402
from serving.api.shared import REPLACES_KEY, STATE_KEY  # noqa: E402
from serving.api.websocket import ApplicationConsumer  # noqa: E402
from serving.rpc.buffers import keep_freed_memory  # noqa: E402
from serving.web.arrival import arrive  # noqa: E402
from serving.web.runtime import Runtime  # noqa: E402

django_application = UploadHandlingASGIHandler()

START_TIMEOUT_S = 30.0
# A page of the console is rendered in a thread beside the event loop, which gives up the
# interpreter lock at every system call and then waits this long to have it back: with Python's
# 5 ms a query of a few calls would outwait its objective.
SWITCH_INTERVAL_S = 0.0005
# Queries make garbage that reference counts free; the collector's default pace would look through
# them dozens of times a second. Each time everybody waits: 1 to 3 ms at this pace, 16 to 34 ms when
# it looks five times as rarely.
GC_THRESHOLDS = (10_000, 20, 100)

logger = logging.getLogger(__name__)


def route(pattern: str, application: Any) -> URLPattern:
    """Channels routes ASGI applications with Django's URL patterns, whose types know views only."""
    routed: URLPattern = re_path(pattern, application)
    return routed


def routes_of(runtime: Runtime) -> Endpoint:
    """Return the application that serves one runtime.

    Plain predictions don't come this way (`serving.api.front`).
    """
    predict = with_cors(predict_endpoint(runtime), runtime=runtime, methods=b"POST")
    feedback = with_cors(feedback_endpoint(runtime), runtime=runtime, methods=b"POST")
    update = with_cors(update_endpoint(runtime), runtime=runtime, methods=b"POST")
    management = with_release_waits(
        with_noted_changes(
            with_limited_bodies(cast(Endpoint, django_application)),
            changed=runtime.own_changes.made,
        ),
        next_look=lambda: runtime.next_look,
        catch_up=runtime.catch_up,
    )
    artifacts = artifact_downloads(runtime.artifacts).endpoint()
    http = URLRouter(
        [
            route(rf"^api/v1/applications/{APP}/predict/?$", predict),
            route(rf"^{OWN_PATH}/predict/?$", predict),
            route(rf"^api/v1/applications/{APP}/score/?$", score_endpoint(runtime)),
            route(rf"^api/v1/applications/{APP}/feedback/?$", feedback),
            route(
                rf"^api/v1/applications/{APP}/selection/?$",
                selection_endpoint(runtime, management=management),
            ),
            route(rf"^{OWN_PATH}/update/?$", update),
            route(r"^api/v1/artifacts/(?P<sha256>[^/]+)/?$", artifacts),
            route(r"^health/live/?$", live_endpoint(runtime)),
            route(r"^health/ready/?$", ready_endpoint(runtime)),
            route(r"^metrics/?$", metrics_endpoint(runtime)),
            route(r"", management),
        ]
    )
    websocket = URLRouter(
        [
            route(rf"^ws/v1/applications/{APP}/?$", ApplicationConsumer.as_asgi(runtime=runtime)),
            route(r"", _refuse_websocket),
        ]
    )
    routes: Endpoint = ProtocolTypeRouter({"http": http, "websocket": websocket})
    return routes


class WithLifespan:
    """Starts the runtime with the server and stops it with it (neither Django nor Channels do)."""

    def __init__(self) -> None:
        self._routes: Endpoint | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope["state"], receive, send)
        elif self._routes is not None:
            await self._routes(scope, receive, send)

    async def _lifespan(self, state: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        keep_freed_memory()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        runtime = new_runtime()
        held = ExitStack()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.to_thread(held.enter_context, held_open())
                await asyncio.to_thread(clear_remnants)
                await runtime.start()
            await arrive(runtime, replaces=state.get(REPLACES_KEY, False))
        except Exception as error:
            await runtime.stop()
            held.close()
            logger.exception("the serving runtime did not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        state[STATE_KEY] = DirectPredictions(
            runtime.processor, max_body_bytes=runtime.spec.max_body_bytes
        )
        state[LIMITS_KEY] = new_limits()
        self._routes = routes_of(runtime)
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await runtime.stop()
        held.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _refuse_websocket(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 4404})


application = WithLifespan()
