"""Waiting until the stack answers, with a word now and then on what is still missing."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

from clipper_site.stack.layout import Layout
from clipper_site.stack.terminal import StackError, say

# At the one address of the stack.
LIVE_AT = {"the predict process": "/health/live", "the console": "/health/console"}
LIVE_SECONDS = 60.0


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


def ask(layout: Layout, path: str, *, body: object = None, api_key: str = "") -> Reply:
    """Send a GET, or a POST of the body."""
    connection = HTTPConnection(layout.dialled, layout.port, timeout=10.0)
    headers = {"Authorization": f"Api-Key {api_key}", "Content-Type": "application/json"}
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, body=json.dumps(body), headers=headers)
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


def wait_until_live(layout: Layout, *, supervisord: subprocess.Popen[bytes]) -> None:
    """Until both kinds of web process answer, and Redis takes commands from them."""

    def what_lacks() -> str | None:
        for kind, path in LIVE_AT.items():
            reply = ask(layout, path)
            if reply.status != 200:
                return f"{kind} ({reply.words()})"
        state = _checks(ask(layout, "/health/ready")).get("redis", "unknown")
        return None if state == "ok" else f"Redis ({state})"

    lacking = _wait(what_lacks, seconds=LIVE_SECONDS, supervisord=supervisord)
    if lacking is not None:
        raise StackError(f"Not up after {LIVE_SECONDS:.0f} s: {lacking}")


def _checks(reply: Reply) -> Mapping[str, str]:
    """Return what readiness says of each part, whether all are ready or not."""
    body = reply.body if isinstance(reply.body, dict) else {}
    found: Mapping[str, str] = body.get("checks") or body.get("details", {}).get("checks", {})
    return found


def wait_until_ready(
    layout: Layout, *, supervisord: subprocess.Popen[bytes], seconds: float = 180.0
) -> str | None:
    """Wait until the predict process is ready; return what is lacking if it never is."""

    def what_lacks() -> str | None:
        reply = ask(layout, "/health/ready")
        return None if reply.status == 200 else reply.words()

    return _wait(what_lacks, seconds=seconds, supervisord=supervisord)


def shortcomings(layout: Layout) -> list[str]:
    """Return a line for each model that doesn't serve though the stack is ready."""
    checks = _checks(ask(layout, "/health/ready"))
    return [
        f"{name}: {state}"
        for name, state in checks.items()
        if name.startswith("model ") and state != "ok"
    ]


def _wait(
    what_lacks: Callable[[], str | None],
    *,
    seconds: float,
    supervisord: subprocess.Popen[bytes],
) -> str | None:
    """Return what lacks in the end: None as soon as nothing does."""
    started = time.monotonic()
    next_word = started + 10.0
    while (lacking := what_lacks()) is not None:
        now = time.monotonic()
        refuse_dead(supervisord)
        if now - started > seconds:
            return lacking
        if now > next_word:
            say(f"  still waiting ({now - started:.0f} s): {lacking}")
            next_word = now + 10.0
        time.sleep(0.2)
    return None


def refuse_dead(supervisord: subprocess.Popen[bytes]) -> None:
    if supervisord.poll() is not None:
        raise StackError(f"supervisord ended unasked, with exit code {supervisord.returncode}.")
