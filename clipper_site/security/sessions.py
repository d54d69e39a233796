"""Sessions of the console, on a database that may be full."""

from django.conf import settings
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from registry.databases import database_error, is_full


class SessionMiddleware(DjangoSessionMiddleware):
    """Lets an answer go out though its session can't be saved; a sign-in fails with 507."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return super().process_response(request, response)
        except (DatabaseError, SessionInterrupted) as error:
            if not is_full(error):
                raise
            if request.session.session_key != request.COOKIES.get(settings.SESSION_COOKIE_NAME):
                raise database_error(error) from error
            return response
