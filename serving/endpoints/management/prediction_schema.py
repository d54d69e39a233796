"""The part of the OpenAPI schema that isn't Django's: predictions, feedback, health.

Answers are put together from bytes: the tests hold each against the structure here.
"""

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


def _parameter(name: str, *, place: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": {"type": "string"}, **more}


APPLICATION = _parameter("application", place="path", required=True)
CONTEXT = _parameter("context", place="query", description="Left out: what is known of all.")
ITEMS = {
    "type": "object",
    "required": ["feedback"],
    "properties": {"feedback": {"type": "array", "items": _one("FeedbackItem")}},
}
ANSWERS = {"oneOf": [_one("PredictionAnswer"), _one("BatchAnswer")]}
OF_A_REQUEST = (
    *(errors.BadRequest, errors.InvalidJson, errors.InvalidInput, errors.Unauthenticated),
    *(errors.Forbidden, errors.NotFound, errors.RequestTimeout, errors.BodyTooLarge),
    *(errors.UnsupportedEncoding, errors.TooManyRequests, errors.Unavailable, ClipperError),
)
OF_A_QUERY = (*OF_A_REQUEST, errors.ModelFailed, errors.Saturated, errors.DeadlineExceeded)
OF_FEEDBACK = (*OF_A_REQUEST, errors.InvalidReceipt, errors.InsufficientStorage)
NOT_READY = (errors.NotReady,)


class Operation(NamedTuple):
    """An endpoint that is no view of Django. Without a `body` it is read by GET."""

    path: str
    name: str
    summary: str
    answer: dict[str, Any]
    errors: Sequence[type[ClipperError]] = ()
    body: dict[str, Any] | None = None
    parameters: Sequence[dict[str, Any]] = ()
    kind: str = "application/json"

    @property
    def method(self) -> str:
        return "get" if self.body is None else "post"


def _predict(path: str, name: str, summary: str) -> Operation:
    return Operation(path, name, summary, ANSWERS, OF_A_QUERY, _one("PredictRequest"))


def _label(path: str, name: str, summary: str, body: dict[str, Any]) -> Operation:
    return Operation(path, name, summary, _one("FeedbackResult"), OF_FEEDBACK, body)


OPERATIONS = (
    _predict(f"{API}/predict", "predict", "Ask for predictions"),
    _predict("/{application}/predict", "predict_short", "Ask for predictions, at Clipper's path"),
    Operation(
        f"{API}/score",
        "score",
        "Ask for the outputs of many rows, behind all queries",
        _one("ScoreAnswer"),
        OF_A_QUERY,
        _one("ScoreRequest"),
    ),
    _label(
        f"{API}/feedback",
        "feedback",
        "Tell how right predictions were",
        {"oneOf": [_one("FeedbackItem"), ITEMS]},
    ),
    _label(
        "/{application}/update",
        "update",
        "Label an input, at Clipper's path",
        _one("UpdateRequest"),
    ),
    Operation(
        f"{API}/selection/",
        "selection",
        "Read what an application has learned",
        _one("SelectionState"),
        OF_A_REQUEST,
        parameters=(CONTEXT,),
    ),
    Operation("/health/live", "live", "Report that it runs", _one("Live")),
    Operation("/health/ready", "ready", "Report if it can answer", _one("Ready"), NOT_READY),
    Operation(
        "/health/serving",
        "serving",
        "Report if this process answers queries",
        _one("Serving"),
        NOT_READY,
    ),
    Operation(
        "/metrics",
        "metrics",
        "Read the numbers for Prometheus",
        {"type": "string"},
        (errors.Unavailable,),
        kind="text/plain",
    ),
)


# Generators of typed clients would take it for an object without fields otherwise.
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
    """Add these paths and their structures; a hook of drf-spectacular."""
    bodies = [
        _schema_struct(kind) for kind in (PredictRequest, ScoreRequest, FeedbackItem, UpdateRequest)
    ]
    answers = [PredictionAnswer, FailedInput, BatchAnswer, ScoreAnswer]
    answers += [FeedbackResult, SelectionState, Live, Serving, Ready]
    _, components = msgspec.json.schema_components([*bodies, *answers], ref_template=REFERENCE)
    result["components"]["schemas"].update(components)
    for each in OPERATIONS:
        result["paths"].setdefault(each.path, {})[each.method] = _operation(each)
    return result


def _schema_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the structure with any JSON for raw JSON, and without its defaults.

    Some generators require a field that has a default in the schema.
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


def _operation(each: Operation) -> dict[str, Any]:
    """Return the operation as OpenAPI has it."""
    success = {"description": "Done.", "content": {each.kind: {"schema": each.answer}}}
    in_path = [APPLICATION] if "{application}" in each.path else []
    operation: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.summary,
        "tags": ["predictions" if in_path else "health"],
        # Public applications ask for no key, and nobody does for health and metrics.
        "security": [{"apiKey": []}, {}] if in_path else [{}],
        "responses": {"200": success, **error_responses(each.errors)},
    }
    if parameters := [*in_path, *each.parameters]:
        operation["parameters"] = parameters
    if each.body is not None:
        content = {"application/json": {"schema": each.body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
