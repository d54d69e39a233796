"""GET /api/v1/applications/{app}/export: stored rows, page by page, as JSON, JSON lines or CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import msgspec
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from core.errors import BadRequest
from registry.api.permissions import Permissions, check_person
from registry.api.serializers import ErrorBody
from registry.api.timestamps import EXPECTED_IN_A_PERIOD, check_period, moment_in
from registry.api.views.management_view import ManagementView, find_application, whole_number
from selection.evaluation.stored_rows import (
    JSON_COLUMNS,
    KINDS,
    MOST_ROWS,
    PAGE_ROWS,
    ExportSpan,
    Page,
    Values,
)

JSON, JSON_LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
PARAMETERS = [
    OpenApiParameter(
        "kind",
        str,
        enum=list(KINDS),
        description="; ".join(f"{name}: {kind.words}" for name, kind in KINDS.items()),
    ),
    OpenApiParameter("since", str, description=f"Rows from then on: {EXPECTED_IN_A_PERIOD}."),
    OpenApiParameter("until", str, description=f"Rows before: {EXPECTED_IN_A_PERIOD}."),
    OpenApiParameter(
        "version", str, many=True, description="Rows of this `model:version`; may be repeated."
    ),
    OpenApiParameter("cursor", str, description="Where the page before says that it goes on."),
    OpenApiParameter(
        "limit", int, description=f"Stored rows to look at: 1 to {MOST_ROWS}, {PAGE_ROWS} usually."
    ),
]


class ExportOut(serializers.Serializer[Any]):
    """A page. Rows have every column, in their order."""

    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.DictField())
    next = serializers.CharField(allow_null=True, help_text="The next page's cursor; null: none.")


class ExportView(ManagementView):
    for_bound_keys = ("GET",)
    permissions: ClassVar[Permissions] = {
        "GET": ("registry.view_application", "selection.view_feedback")
    }

    @extend_schema(
        summary="Export stored feedback, decisions, captured queries, or the sample of predictions",
        parameters=PARAMETERS,
        responses={
            (200, JSON): ExportOut,
            (200, JSON_LINES): OpenApiTypes.STR,
            (200, CSV): OpenApiTypes.STR,
            "default": ErrorBody,
        },
    )
    def get(self, request: Request, application: str) -> HttpResponse:
        found = find_application(request, name=application)
        wanted = _parse_span(request)
        kind = KINDS[wanted.kind]
        check_person(request, needed=[kind.permission] if kind.permission else [])
        page = kind.page(found, wanted)
        media_type = _accepted(request)
        content = FORMATS[media_type](page, kind.columns)
        response = HttpResponse(content, content_type=f"{media_type}; charset=utf-8")
        if page.next is not None:
            query = request.query_params.copy()
            query["cursor"] = page.next
            response["Link"] = f'<{request.path}?{query.urlencode()}>; rel="next"'
        return response


def _parse_span(request: Request) -> ExportSpan:
    asked = request.query_params
    known = [parameter.name for parameter in PARAMETERS]
    if unknown := sorted(set(asked) - set(known)):
        raise BadRequest(f"Expected only {', '.join(known)}, got {', '.join(unknown)}.")
    kind = asked.get("kind", "feedback")
    if kind not in KINDS:
        raise BadRequest(f"kind: Expected one of {', '.join(KINDS)}, got {kind[:60]!r}.")
    since, until = moment_in(asked, "since"), moment_in(asked, "until")
    check_period(since=since, until=until)
    return ExportSpan(
        kind=kind,
        since=since,
        until=until,
        versions=frozenset(asked.getlist("version")),
        cursor=asked.get("cursor", ""),
        limit=whole_number(request, "limit", default=PAGE_ROWS, low=1, high=MOST_ROWS),
    )


def _accepted(request: Request) -> str:
    """Return the first format that the client accepts; JSON where it names none of them."""
    for part in request.headers.get("Accept", "").split(","):
        if (media_type := part.partition(";")[0].strip().lower()) in FORMATS:
            return media_type
    return JSON


def _as_csv(page: Page, columns: Sequence[str]) -> str:
    """Return CSV as RFC 4180 has it; an empty field is null or an empty text."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(columns)
    table.writerows(_cells(row) for row in page.rows)
    return text.getvalue()


def _cells(row: Values) -> Iterable[object]:
    for column, value in row.items():
        if value is None:
            yield ""
        elif column in JSON_COLUMNS or isinstance(value, bool):
            yield msgspec.json.encode(value).decode()
        else:
            yield msgspec.to_builtins(value)


FORMATS: dict[str, Callable[[Page, Sequence[str]], bytes | str]] = {
    JSON: lambda page, columns: msgspec.json.encode(
        {"columns": columns, "rows": page.rows, "next": page.next}
    ),
    JSON_LINES: lambda page, _: msgspec.json.Encoder().encode_lines(page.rows),
    CSV: _as_csv,
}
