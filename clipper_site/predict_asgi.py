"""The ASGI application of the processes that answer queries: predictions, feedback, websockets.

Whatever else is asked of the stack is the console's (`clipper_site.console_asgi`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

# Whatever the environment names: this process has nothing of what the others' settings install.
os.environ["DJANGO_SETTINGS_MODULE"] = "clipper_site.pageless_settings"

import django
from channels.routing import ProtocolTypeRouter, URLRouter

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  (Django must be set up first)

from clipper_site.held_database import held_open  # noqa: E402
from clipper_site.routing import ANYTHING, refuse_websocket, route  # noqa: E402
from clipper_site.runtime import new_runtime  # noqa: E402
from clipper_site.web_process import State, WithLifespan, moves_of, new_limits  # noqa: E402
from core import compiled  # noqa: E402
from core.errors import NotFound, ProcessAway  # noqa: E402
from serving.api import paths  # noqa: E402
from serving.api.cors import with_cors  # noqa: E402
from serving.api.feedback import (  # noqa: E402
    feedback_endpoint,
    selection_endpoint,
    update_endpoint,
)
from serving.api.front import DirectPredictions, FrontProtocol  # noqa: E402
from serving.api.health import ready_endpoint, serving_endpoint  # noqa: E402
from serving.api.http import Endpoint, Receive, Scope, Send, endpoint  # noqa: E402
from serving.api.limits import LIMITS_KEY  # noqa: E402
from serving.api.liveness import live_endpoint  # noqa: E402
from serving.api.moving import MOVES_KEY  # noqa: E402
from serving.api.predict import predict_endpoint  # noqa: E402
from serving.api.score import score_endpoint  # noqa: E402
from serving.api.shared import REPLACES_KEY, STATE_KEY  # noqa: E402
from serving.api.websocket import ApplicationConsumer  # noqa: E402
from serving.api.whose import Kind  # noqa: E402
from serving.rpc.buffers import keep_freed_memory  # noqa: E402
from serving.web.arrival import arrive  # noqa: E402
from serving.web.runtime import Runtime  # noqa: E402

# A thread beside the event loop gives up the interpreter lock at every system call and would hold
# it for up to Python's 5 ms otherwise: that is a tenth of an objective.
SWITCH_INTERVAL_S = 0.0005
# Queries make garbage that reference counts free; the collector's default pace would look through
# them dozens of times a second. Each time everybody waits: 1 to 3 ms at this pace, 16 to 34 ms when
# it looks five times as rarely.
GC_THRESHOLDS = (10_000, 20, 100)

logger = logging.getLogger(__name__)


@endpoint
async def not_here(scope: Scope, receive: Receive, send: Send) -> None:
    """What the console answers comes to it with its connection, unless that came back from it."""
    raise ProcessAway("Expected what is asked about an application; the console answers the rest.")


@endpoint
async def socket_alone(scope: Scope, receive: Receive, send: Send) -> None:
    """Whoever asks for a websocket's path without an offer to open one gets nothing there."""
    raise NotFound("Expected a request that opens a websocket.")


def routes_of(runtime: Runtime) -> Endpoint:
    """Return the application that serves one runtime.

    Plain predictions don't come this way (`serving.api.front`).
    """
    predict = with_cors(predict_endpoint(runtime), runtime=runtime, methods=b"POST")
    feedback = with_cors(feedback_endpoint(runtime), runtime=runtime, methods=b"POST")
    update = with_cors(update_endpoint(runtime), runtime=runtime, methods=b"POST")
    http = URLRouter(
        [
            route(paths.PREDICT, predict),
            route(paths.OWN_PREDICT, predict),
            route(paths.SCORE, score_endpoint(runtime)),
            route(paths.FEEDBACK, feedback),
            route(paths.SELECTION, selection_endpoint(runtime)),
            route(paths.OWN_UPDATE, update),
            route(paths.LIVE, live_endpoint()),
            route(paths.READY, ready_endpoint(runtime)),
            route(paths.SERVING, serving_endpoint()),
            route(paths.SOCKET, socket_alone),
            route(ANYTHING, not_here),
        ]
    )
    websocket = URLRouter(
        [
            route(paths.SOCKET, ApplicationConsumer.as_asgi(runtime=runtime)),
            route(ANYTHING, refuse_websocket),
        ]
    )
    routes: Endpoint = ProtocolTypeRouter({"http": http, "websocket": websocket})
    return routes


@asynccontextmanager
async def predicting(state: State) -> AsyncIterator[Endpoint]:
    """Run all that answers queries."""
    _tell_of_code()
    keep_freed_memory()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    runtime = new_runtime()
    async with AsyncExitStack() as held:
        await asyncio.to_thread(held.enter_context, held_open())
        held.push_async_callback(runtime.stop)
        await runtime.start()
        await arrive(runtime, replaces=state.get(REPLACES_KEY, False))
        shared = state[STATE_KEY] = DirectPredictions(
            runtime.processor, max_body_bytes=runtime.spec.max_body_bytes
        )
        shared.lame_duck_s = settings.CLIPPER_LAME_DUCK_S
        state[LIMITS_KEY] = new_limits()
        state[MOVES_KEY] = moves_of(Kind.PREDICT)
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        yield routes_of(runtime)


def _tell_of_code() -> None:
    if compiled.in_use():
        logger.info("runs compiled code")
    elif why := compiled.unused():
        logger.warning("runs Python: what is compiled %s, call make compile", why)


application = WithLifespan(predicting, connection=FrontProtocol)
