"""Asking an application, and telling it what was right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from clipper_client.answers import Answer, FeedbackResult, answers_in, known_as, parsed
from clipper_client.errors import ClipperError
from clipper_client.inputs import encoded, pieces_of, plain
from clipper_client.operations.options import UNSET, QueryOptions, given
from clipper_client.retries import RetryPolicy, ask
from clipper_client.steps import Operation, Request, Response

# The server takes 10,000 inputs in one request, and 16 MB unless it is told otherwise.
BATCH_ROWS, BATCH_BYTES = 5_000, 8 << 20


def application_path(name: str, *rest: str) -> str:
    return "/".join(["/api/v1/applications", quote(name, safe=""), *rest])


def predict(
    name: str, row: Any, *, options: QueryOptions, policy: RetryPolicy
) -> Operation[Answer]:
    body = encoded({"input": plain(row), **given(options)})
    response = yield from ask(_predict_request(name, body), policy=policy)
    return known_as(parsed(Answer, response.json()), application=name)


def predict_batch(
    name: str, rows: Any, *, options: QueryOptions, policy: RetryPolicy
) -> Operation[list[Answer]]:
    answers: list[Answer] = []
    for piece in pieces_of(rows, size=BATCH_ROWS):
        for body in bodies_of(piece, options=options):
            response: Response = yield from ask(_predict_request(name, body), policy=policy)
            answers += answers_in(response.body, application=name)
    return answers


def bodies_of(piece: list[Any], *, options: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the inputs as bodies of requests, each about as large as the server takes them."""
    body = encoded({"input_batch": piece, **given(options)})
    if len(body) <= BATCH_BYTES or len(piece) == 1:
        yield body
    else:
        half = len(piece) // 2
        yield from bodies_of(piece[:half], options=options)
        yield from bodies_of(piece[half:], options=options)


def feedback(
    query_id: str | Answer | None,
    *,
    label: Any = UNSET,
    reward: float | None = None,
    rewards: Mapping[str, float] | None = None,
    metrics: Mapping[str, float] | None = None,
    row: Any = UNSET,
    context: str | None = None,
    app: str | None = None,
    policy: RetryPolicy,
) -> Operation[FeedbackResult]:
    if isinstance(query_id, Answer):
        query_id = query_id.query_id
    item: dict[str, Any] = {
        "query_id": query_id,
        "reward": reward,
        "rewards": None if rewards is None else dict(rewards),
        "metrics": None if metrics is None else dict(metrics),
        "context": context,
    }
    item = {key: value for key, value in item.items() if value is not None}
    item |= {} if label is UNSET else {"label": label}
    item |= {} if row is UNSET else {"input": plain(row)}
    name = app or getattr(query_id, "application", None)
    if name is None:
        raise ValueError("Expected app=, the application that was asked: this id doesn't say it.")
    result = yield from feedback_of_many(name, [item], policy=policy)
    if result.rejected:
        first = result.rejected[0]
        raise ClipperError(first.error, code=first.code)
    return result


def feedback_of_many(
    name: str, items: Iterable[Mapping[str, Any]], *, policy: RetryPolicy
) -> Operation[FeedbackResult]:
    """Give feedback about many queries at once; what is rejected is told, not raised."""
    listed = [_known_again(item) for item in items]
    if not listed:
        return FeedbackResult()
    request = Request(
        method="POST",
        path=application_path(name, "feedback"),
        body=encoded({"feedback": listed}),
    )
    response = yield from ask(request, policy=policy)
    result: FeedbackResult = parsed(FeedbackResult, response.json())
    return result


def _known_again(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item; a labelled input with a key by which it counts once, however often it is
    sent, as a query does by its receipt.
    """
    return dict(item) if "query_id" in item else {"idempotency_key": uuid4().hex, **item}


def _predict_request(name: str, body: bytes) -> Request:
    return Request(method="POST", path=application_path(name, "predict"), body=body)
