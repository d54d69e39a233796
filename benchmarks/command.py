"""The end of every benchmark's command: its message and its exit status."""

import signal
import subprocess
import sys
from collections.abc import Callable

import httpx
import redis

INTERRUPTED = 130

Say = Callable[[str], None]


class Failed(Exception):
    """The measuring itself did not work; the message says enough."""


# What can go wrong with what is measured.
FAILURES = (Failed, httpx.HTTPError, redis.RedisError, subprocess.SubprocessError)


def say(text: str) -> None:
    print(text, flush=True)


def run(name: str, work: Callable[[], int | None]) -> int:
    """Work, and return the exit status: 1 and one line where one of the failures ends it. Whoever
    ends it by Ctrl-C or SIGTERM lets it stop what it has started.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return work() or 0
    except FAILURES as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
