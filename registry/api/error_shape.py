"""The one error shape of the management API."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.core.exceptions import BadRequest as DjangoBadRequest
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from core.errors import (
    BadRequest,
    BodyTooLarge,
    ClipperError,
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
    UnsupportedEncoding,
)
from registry.databases import database_error
from registry.services.row_writes import bad_request, refusal

# What people look at; every other URL is for programs.
PAGES = ("admin", "docs", "feedback", "static")

TO_CONSOLE = "Open the console"
UNFORESEEN = "Something went wrong on our side; the log says what."

logger = logging.getLogger(__name__)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer DRF's exceptions in the error shape, and log unforeseen ones."""
    set_rollback()
    known = translated(error)
    if isinstance(error, exceptions.UnsupportedMediaType):
        types = " or ".join(parser.media_type for parser in context["view"].parser_classes)
        known = UnsupportedEncoding(f"Expected a body of the type {types}: {error.detail}")
    if known is None:
        logger.error("management API failed", exc_info=error)
        known = ClipperError(UNFORESEEN)
    return Response(known.body(), status=known.status, headers=known.headers())


def translated(error: Exception) -> ClipperError | None:
    """Return the error as ours, None if nobody foresaw it."""
    if isinstance(error, ClipperError):
        return error
    if isinstance(error, exceptions.ValidationError):
        fields: dict[str, list[str]] = {}
        for path, message in _messages(error.detail, path=()):
            fields.setdefault(".".join(path) or "__all__", []).append(message)
        return refusal(fields)
    if isinstance(error, exceptions.APIException):
        return BY_STATUS.get(error.status_code, BadRequest)(str(error.detail))
    for kind, translate in DJANGO_ERRORS:
        if isinstance(error, kind):
            return translate(error)
    return None


def error_response(error: ClipperError) -> JsonResponse:
    """Return the error shape for plain Django views."""
    return JsonResponse(error.body(), status=error.status, headers=error.headers())


def error_page(
    request: HttpRequest, error: ClipperError, *, title: str, back_to: str = "", go: str = ""
) -> HttpResponse:
    """Render the error for people without the database, which may be what is away."""
    back_to = back_to or request.get_full_path()
    context = {"title": title, "error": error, "back_to": back_to, "go": go or "Try again"}
    page = render(request, "console/refused.html", context, status=error.status)
    for header, value in error.headers().items():
        page.headers[header] = value
    return page


def is_json_path(request: HttpRequest) -> bool:
    """Tell whether a program asks: of URLs that are nobody's, by what it accepts."""
    path = request.path.lstrip("/")
    return not path.startswith(PAGES) and (path.startswith("api/") or not _is_browser(request))


def _is_browser(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def unknown_url(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """Answer every URL that nothing else serves."""
    if not is_json_path(request):
        return _nothing_there(request)
    return error_response(
        NotFound(
            f"There is nothing at {request.path}; /api/v1/schema/ lists what there is.",
            path=request.path,
        )
    )


def _nothing_there(request: HttpRequest) -> HttpResponse:
    message = (
        f"There is nothing at {request.path}: check the address. What was deleted or renamed is in"
        " the timeline; the console's search finds what there is."
    )
    return error_page(
        request, NotFound(message), title="There is nothing here", back_to="/", go=TO_CONSOLE
    )


# An unknown URL is unknown by every method, also without a CSRF token.
unknown_url.csrf_exempt = True  # type: ignore[attr-defined]  # how Django marks a view


def bad_request_page(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: JSON for programs, a page for people, with the next step."""
    error = translated(exception) or BadRequest("Expected a valid request.")
    if is_json_path(request):
        return error_response(error)
    return error_page(request, error, title="That can't be read", back_to="/", go=TO_CONSOLE)


def forbidden_page(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    if is_json_path(request):
        return error_response(Forbidden(str(exception) or "This isn't allowed."))
    said = str(exception) or "Your role has no permission for this page."
    error = Forbidden(f"{said} An administrator can give it to you under People & keys.")
    return error_page(request, error, title="You may not do this", back_to="/", go=TO_CONSOLE)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose token isn't that of its session."""
    error = Forbidden(
        "Nothing was changed. The form was opened before you last signed in, or your browser keeps"
        " no cookies: load the page again, and send the form once more."
    )
    if is_json_path(request):
        return error_response(error)
    return error_page(request, error, title="This form is out of date", go="Load the page again")


def not_found_page(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404."""
    return unknown_url(request)


def server_error_page(request: HttpRequest) -> HttpResponse:
    """handler500: name a database that is full or away; Django logs the traceback."""
    error = sys.exc_info()[1]
    known = translated(error) if isinstance(error, Exception) else None
    known = known or ClipperError(UNFORESEEN)
    if is_json_path(request):
        return error_response(known)
    titles = {500: "Something went wrong", 503: "The database is away", 507: "The disk is full"}
    return error_page(request, known, title=titles.get(known.status, "That didn't work"))


def _unreadable(error: UnreadablePostError) -> BadRequest | None:
    """Blame the client only if its connection broke."""
    if isinstance(error.__cause__, ConnectionError):
        return BadRequest(f"Expected the whole body: {error}")
    return None


def _messages(detail: Any, *, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each message of DRF's nested details with the path of its field."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            step = () if name == "non_field_errors" else (str(name),)
            yield from _messages(inner, path=path + step)
    elif isinstance(detail, list | tuple):
        for position, inner in enumerate(detail):
            step = (str(position),) if isinstance(inner, Mapping) else ()
            yield from _messages(inner, path=path + step)
    else:
        yield path, str(detail)


BY_STATUS: dict[int, Callable[[str], ClipperError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: BodyTooLarge,
    415: UnsupportedEncoding,
}
DJANGO_ERRORS: tuple[tuple[type[Exception], Callable[[Any], ClipperError | None]], ...] = (
    (Http404, lambda error: NotFound(str(error) or "There is nothing here.")),
    (PermissionDenied, lambda error: Forbidden(str(error) or "This isn't allowed.")),
    (ValidationError, bad_request),
    (RequestDataTooBig, lambda error: BodyTooLarge("Expected a smaller body.")),
    (SuspiciousOperation, lambda error: BadRequest(str(error))),
    (UnreadablePostError, _unreadable),
    (MultiPartParserError, lambda error: BadRequest(f"Expected a multipart form: {error}")),
    (DjangoBadRequest, lambda error: BadRequest(str(error))),
    (OperationalError, database_error),
)
