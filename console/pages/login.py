"""Signing in to the console: Django's page, with a limit on guesses."""

import threading
from collections.abc import Hashable

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache

from core.errors import TooManyRequests
from registry.api.error_shape import error_page
from registry.security.throttle import (
    BY_ADDRESS,
    BY_PERSON,
    BY_PERSON_THERE,
    LATE_S,
    MISTYPED,
    SIGNED_IN,
    SOON_S,
    Failures,
    address_of,
    answer_late,
)

# A failure is noted before the next attempt is let in: limits hold however many come at once, and
# those of a flood are refused as their turn comes. Who signed in here before waits for none of it.
_turn_of_known, _turn_of_others = threading.Lock(), threading.Lock()


@never_cache
def login(request: HttpRequest) -> HttpResponse:
    """Answer 429 if an address, or a name, was tried too often; a failure is answered late."""
    if request.method != "POST":
        return _page(request)
    address = address_of(request)
    name = request.POST.get("username", "")[:150].lower()
    try:
        _check(name, address=address)
        with _turn_of_known if (name, address) in SIGNED_IN else _turn_of_others:
            _check(name, address=address)
            answer = _page(request)
            # Not whether somebody is signed in: that may be another, who guesses from their own
            # session.
            succeeded = isinstance(answer, HttpResponseRedirect)
            _note(name, address=address, succeeded=succeeded)
        if not succeeded:
            limits = _limits(name, address=address)
            often = max(failures.count(who) for failures, who in limits) > MISTYPED
            answer_late(request, seconds=LATE_S if often else SOON_S)
    except TooManyRequests as error:
        answer_late(request, seconds=LATE_S)
        return error_page(request, error, title="Sign in", back_to=reverse("admin:login"))
    return answer


def _page(request: HttpRequest) -> HttpResponse:
    return admin.site.login(request, extra_context={"provider": settings.CLIPPER_OIDC})


def _limits(name: str, *, address: str) -> list[tuple[Failures, Hashable]]:
    """Return the limits that hold for this attempt, each with whom it counts."""
    there = (BY_PERSON_THERE, (name, address))
    if (name, address) in SIGNED_IN:
        return [there]
    return [there, (BY_ADDRESS, address), (BY_PERSON, name)]


def _check(name: str, *, address: str) -> None:
    for failures, who in _limits(name, address=address):
        failures.check(who, what="attempts to sign in")


def _note(name: str, *, address: str, succeeded: bool) -> None:
    if succeeded:
        SIGNED_IN.add((name, address))
        BY_PERSON_THERE.forget((name, address))
        return
    BY_ADDRESS.add(address)
    BY_PERSON_THERE.add((name, address))
    BY_PERSON.add(name)
