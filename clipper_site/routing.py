"""Routes of raw ASGI endpoints, for both kinds of web process."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, re_path

from serving.api.http import Receive, Scope, Send

NO_SUCH_SOCKET = 4404
# A path may have line breaks.
ANYTHING = r"(?s:.*)"


def route(pattern: str, application: Any) -> URLPattern:
    """Route a whole path, relative to the root, to an ASGI application.

    Channels does so with Django's URL patterns, whose types know views only.
    """
    routed: URLPattern = re_path(rf"^(?:{pattern})\Z", application)
    return routed


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": NO_SUCH_SOCKET})
