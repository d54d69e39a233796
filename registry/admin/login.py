"""Signing in to the console: Django's page, with a limit on guesses."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache

from registry.errors import TooManyRequests
from registry.throttle import BY_ADDRESS, BY_PERSON, BY_PERSON_THERE, SIGNED_IN

LONGEST_NAME = 150


@never_cache
def login(request: HttpRequest) -> HttpResponse:
    """Answer 429 where an address, or a name, was tried too often; else Django's own page."""
    if request.method != "POST":
        return admin.site.login(request)
    address = str(request.META.get("REMOTE_ADDR") or "")
    name = request.POST.get("username", "")[:LONGEST_NAME].lower()
    try:
        _check(name, address=address)
    except TooManyRequests as error:
        context = {**admin.site.each_context(request), "title": "Sign in", "error": error}
        page = TemplateResponse(request, "registry/too_many.html", context, status=error.status)
        for header, value in error.headers().items():
            page.headers[header] = value
        return page
    answer = admin.site.login(request)
    _note(name, address=address, succeeded=request.user.is_authenticated)
    return answer


def _check(name: str, *, address: str) -> None:
    what = "attempts to sign in"
    BY_PERSON_THERE.check((name, address), what=what)
    if (name, address) not in SIGNED_IN:
        BY_ADDRESS.check(address, what=what)
        BY_PERSON.check(name, what=what)


def _note(name: str, *, address: str, succeeded: bool) -> None:
    if succeeded:
        SIGNED_IN.add((name, address))
        BY_PERSON_THERE.forget((name, address))
        return
    BY_ADDRESS.add(address)
    BY_PERSON_THERE.add((name, address))
    BY_PERSON.add(name)
