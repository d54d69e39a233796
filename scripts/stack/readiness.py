"""Waiting until the stack answers, with a word now and then on what is still missing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping

from . import web
from .errors import StackError
from .layout import Layout
from .terminal import say

# At the one address of the stack.
LIVE_AT = {"the predict process": "/health/live", "the console": "/health/console"}
LIVE_SECONDS = 60.0
READY_SECONDS = 180.0
LOOK_AGAIN_SECONDS = 0.2
WORD_EACH_SECONDS = 10.0


def wait_until_live(layout: Layout, *, supervisord: subprocess.Popen[bytes]) -> None:
    """Until both kinds of web process answer, and Redis takes commands from them."""

    def what_lacks() -> str | None:
        for kind, path in LIVE_AT.items():
            reply = web.get(layout, path=path)
            if reply.status != 200:
                return f"{kind} ({reply.words()})"
        state = _checks(web.get(layout, path="/health/ready")).get("redis", "unknown")
        return None if state == "ok" else f"Redis ({state})"

    lacking = _wait(what_lacks, seconds=LIVE_SECONDS, supervisord=supervisord)
    if lacking is not None:
        raise StackError(f"Not up after {LIVE_SECONDS:.0f} s: {lacking}")


def _checks(reply: web.Reply) -> Mapping[str, str]:
    """Return what readiness says of each part, whether all are ready or not."""
    body = reply.body if isinstance(reply.body, dict) else {}
    found: Mapping[str, str] = body.get("checks") or body.get("details", {}).get("checks", {})
    return found


def wait_until_ready(
    layout: Layout, *, supervisord: subprocess.Popen[bytes], seconds: float = READY_SECONDS
) -> str | None:
    """Until database, Redis and the routed models are reachable, as the predict process sees them.

    Returns what still lacks after that time: only in a running stack can it be repaired.
    """

    def what_lacks() -> str | None:
        reply = web.get(layout, path="/health/ready")
        return None if reply.status == 200 else reply.words()

    return _wait(what_lacks, seconds=seconds, supervisord=supervisord)


def shortcomings(layout: Layout) -> list[str]:
    """What a stack that is ready says of models that don't serve all the same, a line each."""
    checks = _checks(web.get(layout, path="/health/ready"))
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
    next_word = started + WORD_EACH_SECONDS
    while (lacking := what_lacks()) is not None:
        now = time.monotonic()
        refuse_dead(supervisord)
        if now - started > seconds:
            return lacking
        if now > next_word:
            say(f"  still waiting ({now - started:.0f} s): {lacking}")
            next_word = now + WORD_EACH_SECONDS
        time.sleep(LOOK_AGAIN_SECONDS)
    return None


def refuse_dead(supervisord: subprocess.Popen[bytes]) -> None:
    if supervisord.poll() is not None:
        raise StackError(f"supervisord ended unasked, with exit code {supervisord.returncode}.")
