"""The part of the OpenAPI schema that is no views of Django: predictions, feedback, health.

Bodies that come in are the structures that they are parsed into; those that go out, which are put
together from bytes, are written down here, and the tests hold each answer against them.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from registry import errors
from registry.api.openapi import error_responses
from registry.errors import ClipperError
from selection.feedback.events import FeedbackItem, FeedbackResult, Rejection, UpdateRequest
from serving.api.requests import PredictRequest
from serving.api.score import ScoreRequest

REFERENCE = "#/components/schemas/{name}"
# What stands for one input of a batch.
ITEM = {
    "anyOf": [{"$ref": REFERENCE.format(name=name)} for name in ("PredictionAnswer", "FailedInput")]
}
API = "/api/v1/applications/{application}"
APPLICATION = {
    "name": "application",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}
KEY: list[dict[str, list[str]]] = [{"apiKey": []}]
# Public applications ask for none.
KEY_OR_NONE = [*KEY, {}]
OF_A_REQUEST = (
    *(errors.BadRequest, errors.InvalidJson, errors.InvalidInput, errors.Unauthenticated),
    *(errors.Forbidden, errors.NotFound, errors.RequestTimeout, errors.BodyTooLarge),
    *(errors.UnsupportedEncoding, errors.TooManyRequests, errors.Unavailable, ClipperError),
)
OF_A_QUERY = (*OF_A_REQUEST, errors.ModelFailed, errors.Saturated, errors.DeadlineExceeded)
OF_FEEDBACK = (*OF_A_REQUEST, errors.InvalidReceipt, errors.InsufficientStorage)


class PredictionAnswer(msgspec.Struct):
    """The answer to one input. `default`: no model's answer would do, and this is the default."""

    query_id: Annotated[str, Meta(description="Send it back with feedback.")]
    output: Any
    default: bool
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)]
    asked: int
    answered: int
    latency_ms: float
    models: (
        Annotated[dict[str, Any], Meta(description="Who answered, `model:version`, and what.")]
        | UnsetType
    ) = UNSET
    default_explanation: str | UnsetType = UNSET
    explain: dict[str, Any] | UnsetType = UNSET


class FailedInput(msgspec.Struct):
    """In the place of an input of a batch that could not be answered."""

    error: str
    code: str
    details: dict[str, Any]
    query_id: str | UnsetType = UNSET
    explain: dict[str, Any] | UnsetType = UNSET


class BatchAnswer(msgspec.Struct):
    """As many as there were inputs, in their order."""

    batch_predictions: Annotated[list[Any], Meta(extra_json_schema={"items": ITEM})]


class ScoreAnswer(msgspec.Struct):
    """An output for each row, null for those that failed, and which models were asked."""

    outputs: Annotated[list[Any], Meta(extra_json_schema={"items": {}})]
    failed: list[Rejection]
    models: list[str]


class ArmState(msgspec.Struct):
    """What is known of one arm; `probability` is its chance of the next query."""

    model: str
    version: str
    weight: float
    probability: float
    queries: int
    feedback: int
    reliability: float
    reward: float | None


class SelectionState(msgspec.Struct):
    """What an application has learned in one context."""

    policy: str
    context: str
    arms: list[ArmState]
    updated_at: str | None


class Live(msgspec.Struct):
    live: bool


class Ready(msgspec.Struct):
    """`checks`: what was looked at, and `ok` or what it lacks."""

    ready: bool
    checks: dict[str, str]


def add_predictions(result: dict[str, Any], **_other: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: add these paths and what they take and answer."""
    bodies = [_told(kind) for kind in (PredictRequest, ScoreRequest, FeedbackItem, UpdateRequest)]
    answers = [PredictionAnswer, FailedInput, BatchAnswer, ScoreAnswer]
    answers += [FeedbackResult, SelectionState, Live, Ready]
    _, components = msgspec.json.schema_components([*bodies, *answers], ref_template=REFERENCE)
    result["components"]["schemas"].update(components)
    for path, operations in _paths().items():
        result["paths"].setdefault(path, {}).update(operations)
    return result


def _told(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The structure as its schema shall be: raw JSON in it is any JSON, and may be left out."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        raw = field.type is Raw
        told = Any | UnsetType if raw else field.type
        if field.required and not raw:
            fields.append((field.encode_name, told))
        else:
            fields.append((field.encode_name, told, UNSET if raw else _default(field)))
    return msgspec.defstruct(
        kind.__name__, fields, kw_only=True, namespace={"__doc__": kind.__doc__}
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


def _paths() -> dict[str, Any]:
    predict: dict[str, Any] = {
        "body": _one("PredictRequest"),
        "answers": _any("PredictionAnswer", "BatchAnswer"),
        "errors": OF_A_QUERY,
        "security": KEY_OR_NONE,
    }
    feedback: dict[str, Any] = {
        "answers": _one("FeedbackResult"),
        "errors": OF_FEEDBACK,
        "security": KEY_OR_NONE,
    }
    one_or_several = {
        "oneOf": [
            _one("FeedbackItem"),
            {
                "type": "object",
                "required": ["feedback"],
                "properties": {"feedback": {"type": "array", "items": _one("FeedbackItem")}},
            },
        ]
    }
    context = {
        "name": "context",
        "in": "query",
        "description": "Left out: what is known of all.",
        "schema": {"type": "string"},
    }
    return {
        f"{API}/predict": {
            "post": _operation("predict", "Ask for predictions", **predict),
        },
        f"{API}/score": {
            "post": _operation(
                "score",
                "Ask for the outputs of many rows, behind all queries",
                body=_one("ScoreRequest"),
                answers=_one("ScoreAnswer"),
                errors=OF_A_QUERY,
                security=KEY_OR_NONE,
            )
        },
        f"{API}/feedback": {
            "post": _operation(
                "feedback", "Tell how right predictions were", body=one_or_several, **feedback
            ),
        },
        f"{API}/selection/": {
            "get": _operation(
                "selection",
                "Read what an application has learned",
                answers=_one("SelectionState"),
                errors=OF_A_REQUEST,
                security=KEY_OR_NONE,
                parameters=[context],
            ),
        },
        "/{application}/predict": {
            "post": _operation("predict_short", "Ask for predictions, at Clipper's path", **predict)
        },
        "/{application}/update": {
            "post": _operation(
                "update",
                "Label an input, at Clipper's path",
                body=_one("UpdateRequest"),
                **feedback,
            )
        },
        "/health/live": {
            "get": _operation(
                "live", "Tell whether it runs", tag="health", answers=_one("Live"), errors=()
            )
        },
        "/health/ready": {
            "get": _operation(
                "ready",
                "Tell whether it can answer",
                tag="health",
                answers=_one("Ready"),
                errors=(errors.NotReady,),
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "Read the numbers for Prometheus",
                tag="health",
                answers={"type": "string"},
                kind="text/plain",
                errors=(errors.Unavailable,),
            )
        },
    }


def _operation(
    name: str,
    summary: str,
    *,
    answers: dict[str, Any],
    errors: tuple[type[ClipperError], ...],
    body: dict[str, Any] | None = None,
    security: list[dict[str, list[str]]] | None = None,
    parameters: list[dict[str, Any]] | None = None,
    tag: str = "predictions",
    kind: str = "application/json",
) -> dict[str, Any]:
    told: dict[str, Any] = {"operationId": name, "summary": summary, "tags": [tag]}
    if tag == "predictions":
        told["parameters"] = [APPLICATION, *(parameters or [])]
    if body is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    success = {"description": "Done.", "content": {kind: {"schema": answers}}}
    told["responses"] = {"200": success} | error_responses(errors)
    told["security"] = security or [{}]
    return told


def _one(name: str) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(name=name)}


def _any(*names: str) -> dict[str, Any]:
    return {"oneOf": [_one(name) for name in names]}
