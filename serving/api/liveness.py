"""Whether a web process is there, of either kind."""

from __future__ import annotations

import json

from core.version import VERSION
from serving.api.http import Endpoint, Receive, Scope, Send, endpoint, require_method, send_body


def live_endpoint() -> Endpoint:
    """Answers as long as the event loop turns."""
    body = json.dumps({"live": True, "version": VERSION}).encode()

    @endpoint
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        await send_body(send, body)

    return live
