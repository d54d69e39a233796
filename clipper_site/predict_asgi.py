"""The processes that answer queries; they pass on all else to `clipper_site.console_asgi`."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

# Whatever the environment names: this process has nothing of what the others' settings install.
os.environ["DJANGO_SETTINGS_MODULE"] = "clipper_site.settings.pageless"

import django

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  (Django must be set up first)

from clipper_site.asgi.held_database import held_open  # noqa: E402
from clipper_site.asgi.predict_runtime import new_runtime  # noqa: E402
from clipper_site.asgi.web_process import new_limits  # noqa: E402
from core import compiled  # noqa: E402
from core.errors import NotFound  # noqa: E402
from serving.endpoints import paths  # noqa: E402
from serving.endpoints.cors import with_cors  # noqa: E402
from serving.endpoints.feedback_endpoints import (  # noqa: E402
    feedback_endpoint,
    selection_endpoint,
    update_endpoint,
)
from serving.endpoints.health_endpoints import ready_endpoint, serving_endpoint  # noqa: E402
from serving.endpoints.predictions.direct_predictions import DirectPredictions  # noqa: E402
from serving.endpoints.predictions.predict import predict_endpoint  # noqa: E402
from serving.endpoints.predictions.score import score_endpoint  # noqa: E402
from serving.endpoints.websocket_talk import websockets_of  # noqa: E402
from serving.http.asgi import (  # noqa: E402
    Endpoint,
    Receive,
    Routes,
    Scope,
    Send,
    endpoint,
    live_endpoint,
)
from serving.http.connections import Connections  # noqa: E402
from serving.http.passed_heads import PassedHeads  # noqa: E402
from serving.http.proxy import ConsoleProxy  # noqa: E402
from serving.rpc.buffers import keep_freed_memory  # noqa: E402
from serving.web.runtime import Runtime  # noqa: E402
from serving.web.startup import start_up  # noqa: E402

logger = logging.getLogger(__name__)


def routes_of(runtime: Runtime, *, console: Endpoint) -> Routes:
    """Return the application of one runtime; plain predictions don't come this way."""
    predict = with_cors(predict_endpoint(runtime), runtime=runtime, methods=b"POST")
    update = with_cors(update_endpoint(runtime), runtime=runtime, methods=b"POST")
    read_selection = selection_endpoint(runtime)

    async def selection(scope: Scope, receive: Receive, send: Send) -> None:
        # What changes an application's selection resets what was learned.
        is_reset = scope["method"] in ("DELETE", "PUT")
        await (console if is_reset else read_selection)(scope, receive, send)

    return Routes(
        (paths.PREDICT, predict),
        (paths.OWN_PREDICT, predict),
        (paths.SCORE, score_endpoint(runtime)),
        (
            paths.FEEDBACK,
            with_cors(feedback_endpoint(runtime), runtime=runtime, methods=b"POST"),
        ),
        (paths.SELECTION, selection),
        (paths.OWN_UPDATE, update),
        (paths.LIVE, live_endpoint()),
        (paths.READY, ready_endpoint(runtime)),
        (paths.SERVING, serving_endpoint()),
        (paths.SOCKET, socket_alone),
        otherwise=console,
    )


@endpoint
async def socket_alone(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request for a websocket's path that doesn't open one."""
    raise NotFound("Expected a request that opens a websocket.")


@asynccontextmanager
async def application(replaces: bool) -> AsyncIterator[Connections]:
    """Run all that answers queries."""
    _log_kind_of_code()
    keep_freed_memory()
    # A thread beside the event loop gives up the interpreter lock at every system call and would
    # hold it for up to Python's 5 ms otherwise: that is a tenth of an objective.
    sys.setswitchinterval(0.0005)
    runtime = new_runtime()
    async with AsyncExitStack() as held:
        await asyncio.to_thread(held.enter_context, held_open())
        held.push_async_callback(runtime.stop)
        await runtime.start()
        await start_up(runtime, replaces=replaces)
        processor, most = runtime.processor, runtime.spec.max_body_bytes
        console = ConsoleProxy(
            settings.CLIPPER_CONSOLE_ADDRESS,
            heads=PassedHeads(settings.CLIPPER_CLUSTER_SECRET.encode()),
        )
        routes = routes_of(runtime, console=console.endpoint())
        connections = Connections(
            routes,
            refusals=processor.resources.metrics.refusals,
            limits=new_limits(),
            direct=DirectPredictions(processor, max_body_bytes=most, key_uses=runtime.key_uses),
            websocket=console.websockets_beside(websockets_of(runtime), routes=routes),
            lame_duck_s=settings.CLIPPER_LAME_DUCK_S,
        )
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        # Queries make garbage that reference counts free; the collector's default pace would look
        # through them dozens of times a second. Each time everybody waits: 1 to 3 ms at this pace,
        # 16 to 34 ms when it looks five times as rarely.
        gc.set_threshold(10_000, 20, 100)
        yield connections


def _log_kind_of_code() -> None:
    if compiled.in_use():
        logger.info("runs compiled code")
    elif why := compiled.unused():
        logger.warning("runs Python: what is compiled %s, call make compile", why)
