"""POST score: a model's outputs for many rows, behind all queries and without what those carry."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from core.errors import BadRequest
from core.loop.loop_slices import Slice
from core.specs import ApplicationSpec
from serving.endpoints.predictions.predict import read_request
from serving.endpoints.predictions.predict_request import (
    MAX_BATCH,
    check_context,
    check_type,
    requested_version,
)
from serving.http.asgi import Endpoint, Receive, Scope, Send, endpoint, send_body, while_connected
from serving.query.budget import LONGEST_BATCH_MS
from serving.query.scoring import Scored, Scoring, scoring_choice
from serving.web.runtime import Runtime

_json = msgspec.json.Encoder().encode


class ScoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Many inputs, and whom to ask about all of them."""

    input_batch: Sequence[msgspec.Raw]
    context: str = ""
    version: str | None = None
    timeout_ms: float = LONGEST_BATCH_MS


_decoder = msgspec.json.Decoder(ScoreRequest)


def score_endpoint(runtime: Runtime) -> Endpoint:
    """Return the ASGI callable for `.../{app}/score`."""

    @endpoint
    async def score(scope: Scope, receive: Receive, send: Send) -> None:
        application, request, _, slice = await read_request(
            runtime, scope, receive, decoder=_decoder
        )
        check_request(request)
        with while_connected(scope), runtime.processor.resources.large_batches:
            answered = await score_rows(runtime, application, request=request, slice=slice)
        await send_body(send, answered)

    return score


def check_request(request: ScoreRequest) -> None:
    if not 1 <= len(request.input_batch) <= MAX_BATCH:
        raise BadRequest(
            f"input_batch: expected 1 to {MAX_BATCH} inputs, got {len(request.input_batch)}."
        )
    if not 0 < request.timeout_ms <= LONGEST_BATCH_MS:
        raise BadRequest(
            f"timeout_ms: expected above 0 and up to {LONGEST_BATCH_MS:g}, "
            f"got {request.timeout_ms:g}."
        )
    check_context(request.context)


async def score_rows(
    runtime: Runtime, application: ApplicationSpec, *, request: ScoreRequest, slice: Slice
) -> bytes:
    """Return the response's JSON; raises where no row can be asked about."""
    processor, version = runtime.processor, None
    if request.version is not None:
        version = await runtime.found(
            partial(requested_version, request.version, application=application)
        )
    processor.features_of(application, (), version=version)
    resources = processor.resources
    choice = scoring_choice(resources, application, context=request.context, version=version)
    scoring = Scoring(
        resources,
        application,
        choice=choice,
        rows=request.input_batch,
        check=partial(check_type, input_type=application.input_type),
        within_s=request.timeout_ms / 1e3,
        slice=slice,
    )
    scored = await scoring.answer()
    runtime.metrics.of_application(application.name).scored += len(scored.outputs)
    return _rendered(scored, models=choice.selection.arms)


def _rendered(scored: Scored, *, models: Sequence[str]) -> bytes:
    """Return the answer's JSON, put together from outputs that are JSON already."""
    failed: list[dict[str, Any]] = [
        {"index": row, "error": error.message, "code": error.code}
        for row, error in sorted(scored.failed.items())
    ]
    return b'{"outputs":[%b],"failed":%b,"models":%b}' % (
        b",".join(scored.outputs),
        _json(failed),
        _json(models),
    )
