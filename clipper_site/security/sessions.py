"""Sessions of the console, on a database that may be full."""

from django.conf import settings
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from registry.databases import database_error, is_full


class SessionMiddleware(DjangoSessionMiddleware):
    """Lets an answer go out though its session can't be saved.

    A message of a change, such as a new key, is shown at once instead of on the next page. A
    sign-in fails with 507.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return super().process_response(request, response)
        except (DatabaseError, SessionInterrupted) as error:
            if not is_full(error):
                raise
            if request.session.session_key != request.COOKIES.get(settings.SESSION_COOKIE_NAME):
                raise database_error(error) from error
            return _said_at_once(request, response)


def _said_at_once(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    kept = request.session.get(SessionStorage.session_key)
    if request.method != "POST" or response.status_code != 302 or not kept:
        return response
    context = {
        "title": "Done, though the disk is full",
        "said": SessionStorage(request).deserialize_messages(kept),
        "go_on": response.headers["Location"],
    }
    return render(request, "console/done_on_full_disk.html", context)
