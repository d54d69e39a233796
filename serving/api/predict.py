"""POST predict: parse, ask, render. Raw ASGI, because a framework costs more than a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

import msgspec

from registry.errors import ClipperError
from registry.specs import PREDICT, ApplicationSpec, VersionSpec
from serving.api.access import application_of
from serving.api.http import (
    Endpoint,
    Receive,
    Scope,
    Send,
    endpoint,
    read_body,
    require_method,
    send_body,
)
from serving.api.requests import PredictRequest, check_type, parse_predict, requested_version
from serving.query import Prediction, Query, QueryProcessor
from serving.runtime import Runtime

_json = msgspec.json.Encoder().encode


def predict_endpoint(runtime: Runtime) -> Endpoint:
    """Return the ASGI callable for `.../{app}/predict`."""

    @endpoint
    async def predict(scope: Scope, receive: Receive, send: Send) -> None:
        arrived = monotonic()
        require_method(scope, "POST")
        application = await application_of(runtime, scope, needs=PREDICT)
        body = await read_body(scope, receive, limit=runtime.spec.max_body_bytes)
        request = parse_predict(body)
        await send_body(
            send, await answer(runtime, application=application, request=request, arrived=arrived)
        )

    return predict


async def answer(
    runtime: Runtime, *, application: ApplicationSpec, request: PredictRequest, arrived: float
) -> bytes:
    """Return the response's JSON; raises what a single input fails with."""
    version = None
    if request.version is not None:
        version = await runtime.found(
            partial(requested_version, request.version, application=application)
        )
    begun = partial(
        begin,
        runtime.processor,
        application,
        request=request,
        arrived=arrived,
        version=version,
    )
    inputs = request.inputs()
    if request.input_batch is not None:
        runtime.processor.check_features(application, request.features, version=version)
        return await _answer_batch(inputs, begin=begun)
    query = begun(input=inputs[0])
    await query.settled()
    return render(query.prediction())


def begin(
    processor: QueryProcessor,
    application: ApplicationSpec,
    *,
    request: PredictRequest,
    input: bytes,
    arrived: float,
    version: VersionSpec | None,
) -> Query:
    """Ask about one input of a request; raises, before anybody was asked, what is wrong with it."""
    processor.check_features(application, request.features, version=version)
    check_type(input, input_type=application.input_type)
    return processor.begin(
        application,
        input=input,
        arrived=arrived,
        context=request.context,
        features=request.features,
        version=version,
        timeout_ms=request.timeout_ms,
        traced=request.explain,
    )


async def _answer_batch(inputs: Sequence[bytes], *, begin: Callable[..., Query]) -> bytes:
    """Answer each input for itself: a bad one yields its error in its place."""
    begun = [_begun(input, begin=begin) for input in inputs]
    for query in begun:
        if isinstance(query, Query):
            await query.settled()
    return b'{"batch_predictions":[' + b",".join(map(_render_item, begun)) + b"]}"


def _begun(input: bytes, *, begin: Callable[..., Query]) -> Query | ClipperError:
    try:
        return begin(input=input)
    except ClipperError as error:
        return error


def _render_item(item: Query | ClipperError) -> bytes:
    if isinstance(item, ClipperError):
        return _json(item.body())
    try:
        return render(item.prediction())
    except ClipperError as error:
        return _json(error.body())


def render(prediction: Prediction) -> bytes:
    """Put the JSON together from the parts, which are JSON already or need no escaping."""
    explanation = prediction.default_explanation
    default = (
        b'"default":false'
        if explanation is None
        else b'"default":true,"default_explanation":' + _json(explanation)
    )
    models = b",".join(b'"%b":%b' % (arm.encode(), out) for arm, out in prediction.models.items())
    told = prediction.breakdown
    explained = b"" if told is None else b',"explain":' + _json(told)
    return (
        b'{"query_id":"%b","output":%b,%b,"confidence":%.4g,"models":{%b},'
        b'"asked":%d,"answered":%d,"latency_ms":%.3f%b}'
        % (
            prediction.query_id.encode(),
            prediction.output,
            default,
            prediction.confidence,
            models,
            prediction.asked,
            len(prediction.models),
            prediction.latency_ms,
            explained,
        )
    )
