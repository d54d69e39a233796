"""Base of all views of the management API."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, TypeVar

from django.db.models import QuerySet
from django.urls import URLPattern, path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import BadRequest, NotFound, PreconditionFailed
from registry.api.body_parsers import JsonOnly, JsonParser, check_encoding
from registry.api.fields import Body
from registry.api.permissions import Permissions
from registry.api.serializers import ErrorBody
from registry.api.visibility import applications_for, bound_to, check_changes, models_for
from registry.models import Application, Model, ModelVersion
from registry.services import unchanged_since

PAGE_SIZE = 1000

R = TypeVar("R")

PAGE_PARAMETERS = [
    OpenApiParameter("limit", int, description=f"How many at most: 1 to {PAGE_SIZE}."),
    OpenApiParameter("offset", int, description="How many to leave out first."),
]


def schema(
    summary: str,
    *,
    body: Any = None,
    answer: Any = None,
    status: int = 200,
    paged: bool = False,
    created: bool = False,
    operation: str | None = None,
    parameters: Sequence[OpenApiParameter | type[serializers.Serializer[Any]]] = (),
) -> Any:
    """Describe one method of a view in the OpenAPI schema; `created`: it may also answer 201.

    `operation` names it where two would have one name.
    """
    return extend_schema(
        operation_id=operation,
        summary=summary,
        request=body,
        responses={status: answer, **({201: answer} if created else {}), "default": ErrorBody},
        parameters=[*parameters, *(PAGE_PARAMETERS if paged else ())],
    )


class ManagementView(APIView):
    """Strict JSON in, JSON out. `for_bound_keys`, `only_reads`, `permissions`: see `MayManage`."""

    parser_classes = [JsonParser]
    content_negotiation_class = JsonOnly
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    for_bound_keys: ClassVar[Collection[str]] = ()
    only_reads: ClassVar[Collection[str]] = ()
    permissions: ClassVar[Permissions] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_encoding(request)

    def if_unchanged(self, row: Revised | None) -> AbstractContextManager[None]:
        """Run the block if the row is as If-Match says. Raises PreconditionFailed."""
        expected = _expected(self.request)
        if row is not None:
            return unchanged_since(row, expected)
        if "If-Match" in self.request.headers:
            raise PreconditionFailed("There is nothing here yet.", expected=expected)
        return nullcontext()

    def declared_row(self, find: Callable[..., R], *, name: str) -> R | None:
        """Return the row to change, None to create it. Raises NotFound for a bound key."""
        try:
            return find(self.request, name=name)
        except NotFound:
            if bound_to(self.request) is not None:
                raise
            return None

    def body(self, shape: type[Body]) -> dict[str, Any]:
        """Return the request's body in this shape."""
        return dict(self.validated(shape).validated_data)

    def validated(self, shape: type[Body], data: Mapping[str, Any] | None = None) -> Any:
        """Return the serializer of the body, or of the data."""
        serializer = shape(data=self.request.data if data is None else dict(data))
        serializer.is_valid(raise_exception=True)
        return serializer

    def listing(
        self, rows: QuerySet[Any, Any], *, shape: type[serializers.BaseSerializer[Any]]
    ) -> Response:
        """Answer a page of the rows as an array; X-Total-Count says how many there are."""
        limit, offset = self.page()
        page = shape(rows[offset : offset + limit], many=True)
        return Response(page.data, headers={"X-Total-Count": str(rows.count())})

    def shown(self, row: Revised, shape: type[serializers.BaseSerializer[Any]]) -> Response:
        """Answer the row with its ETag."""
        return Response(shape(row).data, headers=etag(row))

    def created(
        self, row: Any, shape: type[serializers.BaseSerializer[Any]], *, name: object
    ) -> Response:
        """Answer 201 with the row, and with its address."""
        location = f"{self.request.path.rstrip('/')}/{name}"
        return Response(shape(row).data, status=201, headers={"Location": location})

    def declared(
        self,
        row: Revised,
        shape: type[serializers.BaseSerializer[Any]],
        *,
        created: bool,
        changed: list[str],
    ) -> Response:
        """Answer a row as declared, with the names of what was something else before."""
        body = {**shape(row).data, "changed": changed}
        return Response(body, status=201 if created else 200, headers=etag(row))

    def page(self) -> tuple[int, int]:
        """Return the limit and the offset that the caller wants."""
        return (
            whole_number(self.request, "limit", default=PAGE_SIZE, low=1, high=PAGE_SIZE),
            whole_number(self.request, "offset", default=0, low=0, high=2**31),
        )


Revised = Application | Model | ModelVersion


def etag(row: Revised) -> dict[str, str]:
    return {"ETag": f'"{row.revision}"'}


def _expected(request: Request) -> int | None:
    """Return the revision in If-Match, None for any."""
    text = request.headers.get("If-Match", "*").strip()
    if text == "*":
        return None
    digits = text[1:-1]
    if text == f'"{digits}"' and digits.isascii() and digits.isdigit() and len(digits) < 19:
        return int(digits)
    raise BadRequest(f'If-Match: Expected one ETag such as "7", or *, got {text}.')


def find_application(request: Request, *, name: str) -> Application:
    """Return the application. Raises NotFound if the caller doesn't see it."""
    return applications_for(request).with_everything().named(name)


def find_model(request: Request, *, name: str, to_change: bool = False) -> Model:
    """Return the model. Raises NotFound if unseen, Forbidden if the caller may only read it."""
    found = models_for(request).with_live_version().named(name)
    if to_change:
        check_changes(request, model=found)
    return found


def find_version(
    request: Request, *, model: str, version: str, to_change: bool = False
) -> ModelVersion:
    """Return the version. Raises what `find_model` does."""
    rows = ModelVersion.objects.filter(model=find_model(request, name=model, to_change=to_change))
    return rows.select_related("model", "created_by", "last_check").named(version, of=model)


def flag(request: Request, name: str) -> bool:
    """Return a query parameter that is true or false."""
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise BadRequest(f"{name}: Expected true or false, got {text!r}.")
    return text == "true"


def whole_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(high))
    if digits and low <= int(text) <= high:
        return int(text)
    raise BadRequest(f"{name}: Expected a whole number from {low} to {high}, got {text!r}.")


APPLICATION = "applications/<str:application>"
MODEL = "models/<str:model>"
VERSION = f"{MODEL}/versions/<str:version>"


def both(route: str, *, view: type[APIView], name: str) -> list[URLPattern]:
    """Return the route and its twin with or without the last slash; the schema shows the first."""
    twin = route[:-1] if route.endswith("/") else route + "/"
    return [
        path(twin, view.as_view(schema=None), name=name),
        path(route, view.as_view(), name=name),
    ]
