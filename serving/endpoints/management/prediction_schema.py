"""The part of the OpenAPI schema that is no views of Django: predictions, feedback, health.

Bodies that come in are the structures that they are parsed into; those that go out, which are put
together from bytes, are written down here, and the tests hold each answer against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from core import errors
from core.errors import ClipperError
from registry.api.openapi import error_responses
from selection.feedback.events import FeedbackItem, FeedbackResult, Rejection, UpdateRequest
from serving.endpoints.predictions.predict_request import PredictRequest
from serving.endpoints.predictions.score import ScoreRequest

REFERENCE = "#/components/schemas/{name}"


def _one(name: str) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(name=name)}


# What stands for one input of a batch.
ITEM = {"anyOf": [_one("PredictionAnswer"), _one("FailedInput")]}
API = "/api/v1/applications/{application}"
APPLICATION = {
    "name": "application",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}
CONTEXT = {
    "name": "context",
    "in": "query",
    "description": "Left out: what is known of all.",
    "schema": {"type": "string"},
}
ITEM_OR_ITEMS = {
    "oneOf": [
        _one("FeedbackItem"),
        {
            "type": "object",
            "required": ["feedback"],
            "properties": {"feedback": {"type": "array", "items": _one("FeedbackItem")}},
        },
    ]
}
ANSWER_OR_ANSWERS = {"oneOf": [_one("PredictionAnswer"), _one("BatchAnswer")]}
OF_A_REQUEST = (
    *(errors.BadRequest, errors.InvalidJson, errors.InvalidInput, errors.Unauthenticated),
    *(errors.Forbidden, errors.NotFound, errors.RequestTimeout, errors.BodyTooLarge),
    *(errors.UnsupportedEncoding, errors.TooManyRequests, errors.Unavailable, ClipperError),
)
OF_A_QUERY = (*OF_A_REQUEST, errors.ModelFailed, errors.Saturated, errors.DeadlineExceeded)
OF_FEEDBACK = (*OF_A_REQUEST, errors.InvalidReceipt, errors.InsufficientStorage)


class Operation(NamedTuple):
    """An endpoint that is no view of Django: its bodies are schemas."""

    path: str
    name: str
    summary: str
    answer: dict[str, Any]
    errors: Sequence[type[ClipperError]] = ()
    body: dict[str, Any] | None = None
    method: str = "post"
    parameters: Sequence[dict[str, Any]] = ()
    kind: str = "application/json"


OPERATIONS = (
    Operation(
        f"{API}/predict",
        "predict",
        "Ask for predictions",
        ANSWER_OR_ANSWERS,
        OF_A_QUERY,
        _one("PredictRequest"),
    ),
    Operation(
        f"{API}/score",
        "score",
        "Ask for the outputs of many rows, behind all queries",
        _one("ScoreAnswer"),
        OF_A_QUERY,
        _one("ScoreRequest"),
    ),
    Operation(
        f"{API}/feedback",
        "feedback",
        "Tell how right predictions were",
        _one("FeedbackResult"),
        OF_FEEDBACK,
        ITEM_OR_ITEMS,
    ),
    Operation(
        f"{API}/selection/",
        "selection",
        "Read what an application has learned",
        _one("SelectionState"),
        OF_A_REQUEST,
        method="get",
        parameters=(CONTEXT,),
    ),
    Operation(
        "/{application}/predict",
        "predict_short",
        "Ask for predictions, at Clipper's path",
        ANSWER_OR_ANSWERS,
        OF_A_QUERY,
        _one("PredictRequest"),
    ),
    Operation(
        "/{application}/update",
        "update",
        "Label an input, at Clipper's path",
        _one("FeedbackResult"),
        OF_FEEDBACK,
        _one("UpdateRequest"),
    ),
    Operation("/health/live", "live", "Tell whether it runs", _one("Live"), method="get"),
    Operation(
        "/health/ready",
        "ready",
        "Tell whether it can answer",
        _one("Ready"),
        (errors.NotReady,),
        method="get",
    ),
    Operation(
        "/health/serving",
        "serving",
        "Tell whether this process answers queries",
        _one("Serving"),
        (errors.NotReady,),
        method="get",
    ),
    Operation(
        "/metrics",
        "metrics",
        "Read the numbers for Prometheus",
        {"type": "string"},
        (errors.Unavailable,),
        method="get",
        kind="text/plain",
    ),
)


# Said in so many words, as generators of typed clients would take it for an object without fields.
ByName = Annotated[dict[str, Any], Meta(extra_json_schema={"additionalProperties": {}})]


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
        Annotated[ByName, Meta(description="Who answered, `model:version`, and what.")] | UnsetType
    ) = UNSET
    default_explanation: str | UnsetType = UNSET
    explain: ByName | UnsetType = UNSET


class FailedInput(msgspec.Struct):
    """In the place of an input of a batch that could not be answered."""

    error: str
    code: str
    details: ByName
    query_id: str | UnsetType = UNSET
    explain: ByName | UnsetType = UNSET


class BatchAnswer(msgspec.Struct):
    """As many as there were inputs, in their order."""

    batch_predictions: Annotated[list[Any], Meta(extra_json_schema={"items": ITEM})]


class ScoreAnswer(msgspec.Struct):
    """An output for each row, null for those that failed, and which models were asked."""

    outputs: Annotated[list[Any], Meta(extra_json_schema={"items": {}})]
    failed: list[Rejection]
    models: list[str]


class RewardInterval(msgspec.Struct):
    """An arm's mean reward, and where it is expected to lie: 95 % sure, however often one looks."""

    value: float
    low: float
    high: float


class ArmState(msgspec.Struct):
    """The state of one arm; `probability` is its chance of the next query."""

    model: str
    version: str
    weight: float
    probability: float
    queries: int
    feedback: int
    reliability: float
    reward: float | None
    reward_interval: RewardInterval | None


class RecommendedArm(msgspec.Struct):
    """The arm that leads, and how sure it is that it's the best, by so many labels since then."""

    arm: str
    state: Literal["undecided", "best", "reopened"]
    confidence: float
    since: str | None
    labels: int


class SelectionState(msgspec.Struct):
    """The state that an application has learned in one context."""

    policy: str
    reason: str
    context: str
    arms: list[ArmState]
    recommendation: RecommendedArm | None
    updated_at: str | None


class Live(msgspec.Struct):
    live: bool
    version: str


class Serving(msgspec.Struct):
    serving: bool


class Ready(msgspec.Struct):
    """`checks`: what was looked at, and `ok` or what it lacks."""

    ready: bool
    checks: dict[str, str]


def add_predictions(result: dict[str, Any], **_other: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: add these paths and what they take and answer."""
    bodies = [
        _schema_struct(kind) for kind in (PredictRequest, ScoreRequest, FeedbackItem, UpdateRequest)
    ]
    answers = [PredictionAnswer, FailedInput, BatchAnswer, ScoreAnswer]
    answers += [FeedbackResult, SelectionState, Live, Serving, Ready]
    _, components = msgspec.json.schema_components([*bodies, *answers], ref_template=REFERENCE)
    result["components"]["schemas"].update(components)
    for said in OPERATIONS:
        result["paths"].setdefault(said.path, {})[said.method] = _operation(said)
    return result


def _schema_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The structure as its schema shall be: raw JSON in it is any JSON.

    What has a default may be left out, and that is all that is said of it: a default in the schema
    of a body has some generators ask for the field.
    """
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        raw = field.type is Raw
        type_ = Any if raw else field.type
        if field.required and not raw:
            fields.append((field.encode_name, type_))
        else:
            fields.append((field.encode_name, type_ | UnsetType, UNSET))
    return msgspec.defstruct(
        kind.__name__, fields, kw_only=True, namespace={"__doc__": kind.__doc__}
    )


def _operation(said: Operation) -> dict[str, Any]:
    """An operation as OpenAPI writes it down."""
    success = {"description": "Done.", "content": {said.kind: {"schema": said.answer}}}
    in_path = [APPLICATION] if "{application}" in said.path else []
    operation: dict[str, Any] = {
        "operationId": said.name,
        "summary": said.summary,
        "tags": ["predictions" if in_path else "health"],
        # Public applications ask for no key, and nobody does for health and metrics.
        "security": [{"apiKey": []}, {}] if in_path else [{}],
        "responses": {"200": success, **error_responses(said.errors)},
    }
    if parameters := [*in_path, *said.parameters]:
        operation["parameters"] = parameters
    if said.body is not None:
        content = {"application/json": {"schema": said.body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
