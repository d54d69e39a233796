"""Answers that go out later than they could, as whoever guesses waits for each of them.

A view says so. The event loop waits, once the view is done with the request
(`serving.api.late_answers`): no thread, no turn and no connection to the database is held.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from rest_framework.request import Request

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
    """How many seconds after its request an answer goes out at the earliest."""

    seconds: float = 0.0


def answer_late(request: HttpRequest | Request, *, seconds: float) -> None:
    """Have the answer go out no sooner than so many seconds after its request came."""
    lateness: Lateness | None = getattr(request, "scope", {}).get(SCOPE_KEY)
    if lateness is not None:
        lateness.seconds = max(lateness.seconds, seconds)
