"""Plain HTTP to the stack's own web process, past any proxy of the environment."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

from .layout import Layout

TIMEOUT_SECONDS = 10.0


class Reply(NamedTuple):
    """A status (0: nobody answered) and the body's JSON, or its text where it isn't JSON."""

    status: int
    body: Any

    def words(self) -> str:
        """Say in short what came: the error of the one shape where it is one."""
        if self.status == 0:
            return str(self.body)
        if isinstance(self.body, dict) and "error" in self.body:
            return str(self.body["error"])
        return f"HTTP {self.status} {self.body}"


def get(layout: Layout, *, path: str) -> Reply:
    return _ask(layout, method="GET", path=path, body=None, headers={})


def post(layout: Layout, *, path: str, body: Any, api_key: str) -> Reply:
    headers = {"Authorization": f"Api-Key {api_key}", "Content-Type": "application/json"}
    return _ask(layout, method="POST", path=path, body=json.dumps(body), headers=headers)


def _ask(
    layout: Layout, *, method: str, path: str, body: str | None, headers: dict[str, str]
) -> Reply:
    connection = HTTPConnection(layout.dialled, layout.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return Reply(0, str(error))
    finally:
        connection.close()
    try:
        return Reply(response.status, json.loads(text))
    except ValueError:
        return Reply(response.status, text)
