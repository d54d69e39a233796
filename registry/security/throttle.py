"""Limits on guessing keys and passwords: failures are counted, and refusals are delayed.

A limit never bars those who have proved themselves from where they are: a key that worked goes on
working, and a person signs in from an address that they signed in from before. The event loop waits
with a delayed answer (`serving.endpoints.console.late_answers`): no thread or connection is held.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from time import monotonic

from django.http import HttpRequest
from rest_framework.request import Request

from core.errors import TooManyRequests

REMEMBERED = 10_000


class Failures:
    """At most `most` failures by the same one within `window_s`; the oldest names are forgotten."""

    def __init__(self, *, most: int, window_s: float, remembered: int = REMEMBERED) -> None:
        self._most, self._window_s, self._remembered = most, window_s, remembered
        self._seen: OrderedDict[Hashable, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: Hashable) -> None:
        now = monotonic()
        with self._lock:
            recent = [at for at in self._seen.pop(name, []) if now - at < self._window_s]
            self._seen[name] = [*recent, now][-self._most :]
            if len(self._seen) > self._remembered:
                self._seen.popitem(last=False)

    def count(self, name: Hashable) -> int:
        """Return how often this one has failed within the window."""
        since = monotonic() - self._window_s
        with self._lock:
            return sum(at > since for at in self._seen.get(name, []))

    def wait_s(self, name: Hashable) -> float:
        """Return how long this one has to wait for the next try."""
        with self._lock:
            seen = self._seen.get(name, [])
        if len(seen) < self._most:
            return 0.0
        return max(0.0, seen[0] + self._window_s - monotonic())

    def check(self, name: Hashable, *, what: str) -> None:
        """Raise TooManyRequests after too many failures."""
        wait_s = self.wait_s(name)
        if wait_s > 0:
            raise TooManyRequests(
                f"Too many {what}: try again in {math.ceil(wait_s)} s.", retry_after_s=wait_s
            )

    def forget(self, name: Hashable) -> None:
        with self._lock:
            self._seen.pop(name, None)

    def clear(self) -> None:
        with self._lock:
            self._seen.clear()


class Proved:
    """The last ones that have proved themselves."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: Hashable) -> None:
        with self._lock:
            self._known[name] = None
            self._known.move_to_end(name)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._known

    def clear(self) -> None:
        with self._lock:
            self._known.clear()


# Of one address, whoever it tries to be; behind a proxy many people share one.
BY_ADDRESS = Failures(most=20, window_s=60.0)
# Of one name at one address, and of one name wherever it is tried.
BY_PERSON_THERE = Failures(most=5, window_s=60.0)
BY_PERSON = Failures(most=50, window_s=600.0)
SIGNED_IN = Proved()
# Keys that nobody has made, by address, and digests of those that worked.
BY_KEYS = Failures(most=30, window_s=60.0)
WORKED = Proved()


def address_of(request: HttpRequest | Request) -> str:
    """Return the other end of the connection, a proxy's if there is one."""
    return str(request.META.get("REMOTE_ADDR") or "")


# The entry of an ASGI scope that says how late the answer is to be.
SCOPE_KEY = "clipper.lateness"
# What a person who mistyped hardly notices. It is longer than a password takes where cores are
# free, whichever way it was hashed, so that the time tells nobody whether there is such a name.
SOON_S = 0.5
# And what whoever went on after so many failures waits.
MISTYPED = 3
LATE_S = 2.0


@dataclass(slots=True)
class Lateness:
    """The least seconds between a request and its answer."""

    seconds: float = 0.0


def answer_late(request: HttpRequest | Request, *, seconds: float) -> None:
    """Delay the answer to so many seconds after the request."""
    lateness: Lateness | None = getattr(request, "scope", {}).get(SCOPE_KEY)
    if lateness is not None:
        lateness.seconds = max(lateness.seconds, seconds)
