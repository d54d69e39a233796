"""An ASGI application for a real web process; it behaves as its environment says when imported."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from serving.api.front import DirectPredictions, FrontProtocol
from serving.api.shared import STATE_KEY
from serving.testing import PlayedServing, application_spec
from tests.serving.master.served import BEHAVIOUR

behaviour = Path(os.environ[BEHAVIOUR]).read_text()
if behaviour == "broken":
    import_module("nothing_of_this_name")


class Application:
    """Answers whatever it is asked with its process id."""

    connection = FrontProtocol

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(scope["state"], receive, send)
            return
        body = str(os.getpid()).encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def lifespan(state: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    if behaviour == "unable":
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    serving = PlayedServing(application_spec())
    state[STATE_KEY] = DirectPredictions(serving.processor, max_body_bytes=1 << 20)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


application = Application()
