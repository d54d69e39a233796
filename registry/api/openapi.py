"""The OpenAPI schema of the management API."""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from drf_spectacular.openapi import AutoSchema

from core import errors
from core.errors import ClipperError

ERROR = {"$ref": "#/components/schemas/ErrorBody"}


class Schema(AutoSchema):
    """Describes operations by their summaries; docstrings of views are for their readers."""

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular has it
        return ""


def add_errors(result: dict[str, Any], **_other: Any) -> dict[str, Any]:
    """Add to each operation the errors that it can answer, by status."""
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            kinds = list(_errors_of(path, method, operation))
            operation["responses"].update(error_responses(kinds))
    return result


def let_clients_choose(result: dict[str, Any], **_other: Any) -> dict[str, Any]:
    """Make bodies of several kinds optional: openapi-python-client 0.29 breaks on required ones."""
    for methods in result["paths"].values():
        for operation in methods.values():
            body = operation.get("requestBody")
            if body is not None and len(body["content"]) > 1:
                del body["required"]
    return result


def let_any_json_be_null(result: dict[str, Any], **_other: Any) -> dict[str, Any]:
    """Drop null beside any JSON, which includes it and would match twice."""
    for component in result["components"]["schemas"].values():
        for field in component.get("properties", {}).values():
            if field.get("oneOf") == [{}, {"type": "null"}]:
                del field["oneOf"]
    return result


def error_responses(kinds: Iterable[type[ClipperError]]) -> dict[str, Any]:
    """Return the responses of these errors by status, with their codes."""
    codes: dict[int, dict[str, None]] = {}
    for kind in kinds:
        codes.setdefault(kind.status, {})[kind.code] = None
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(codes[status])}.",
            "content": {"application/json": {"schema": ERROR}},
        }
        for status in sorted(codes)
    }


def _errors_of(path: str, method: str, operation: dict[str, Any]) -> Iterator[type[ClipperError]]:
    yield from (errors.Unauthenticated, errors.Forbidden, errors.TooManyRequests)
    yield from (errors.Unavailable, ClipperError)
    if "{" in path:
        yield errors.NotFound
    if operation.get("parameters"):
        yield errors.BadRequest
    if method != "get":
        yield from (errors.Conflict, errors.PreconditionFailed)
    if (body := operation.get("requestBody")) is not None:
        yield from (errors.BadRequest, errors.UnknownField, errors.InvalidJson)
        yield from (errors.BodyTooLarge, errors.UnsupportedEncoding)
        if "multipart/form-data" in body["content"]:
            yield from (errors.Saturated, errors.InsufficientStorage)
