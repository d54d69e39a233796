"""POST predict: parse, ask, render. Raw ASGI, because a framework costs more than a model."""

from contextlib import nullcontext
from functools import partial
from time import monotonic

import msgspec

from core.errors import ClipperError
from core.loop.loop_slices import Slice
from core.specs import PREDICT, ApplicationSpec, VersionSpec
from serving.endpoints.key_access import application_of
from serving.endpoints.predictions.batch_splitting import parse
from serving.endpoints.predictions.binary_inputs import binary_request, is_binary
from serving.endpoints.predictions.input_batches import InputBatch
from serving.endpoints.predictions.predict_request import (
    PredictRequest,
    check_type,
    checked,
    decoder,
    requested_version,
)
from serving.endpoints.predictions.query_failures import prediction_of
from serving.http.asgi import (
    Endpoint,
    Receive,
    Scope,
    Send,
    endpoint,
    header,
    read_body,
    require_method,
    send_body,
    while_connected,
)
from serving.query.budget import SMALL_BATCH
from serving.query.large_batches import Allowance, allowance_for, rows_open
from serving.query.prediction import Prediction
from serving.query.processor import QueryProcessor
from serving.query.query import Query
from serving.web.runtime import Runtime

_json = msgspec.json.Encoder().encode


def predict_endpoint(runtime: Runtime) -> Endpoint:
    """Return the ASGI callable for `.../{app}/predict`."""

    @endpoint
    async def predict(scope: Scope, receive: Receive, send: Send) -> None:
        arrived = monotonic()
        require_method(scope, "POST")
        application = await application_of(runtime, scope, needs=PREDICT)
        body = await read_body(scope, receive, limit=runtime.spec.max_body_bytes)
        slice = Slice(runtime.processor.resources.turns)
        kind = header(scope, b"content-type") or b""
        if is_binary(kind, input_type=application.input_type):
            query = scope["query_string"]
            request = binary_request(PredictRequest, body, content_type=kind, query=query)
            if request.input_batch is not None and len(request.input_batch) == 1:
                [request.input], request.input_batch = request.input_batch, None
        else:
            request = await parse(decoder, body, input_type=application.input_type, slice=slice)
        checked(request)
        with while_connected(scope):
            answered = await answer(
                runtime, application=application, request=request, arrived=arrived, slice=slice
            )
        await send_body(send, answered)

    return predict


async def answer(
    runtime: Runtime,
    *,
    application: ApplicationSpec,
    request: PredictRequest,
    arrived: float,
    slice: Slice | None = None,
) -> bytes:
    """Return the response's JSON; raise the error of a single input."""
    version = None
    if request.version is not None:
        version = await runtime.found(
            partial(requested_version, request.version, application=application)
        )
    processor = runtime.processor
    inputs = request.inputs()
    if request.input_batch is not None:
        batch = _batch(
            processor,
            application,
            request=request,
            arrived=arrived,
            version=version,
            slice=slice or Slice(processor.resources.turns),
        )
        with processor.resources.large_batches if request.is_large else nullcontext():
            items = await batch.answer()
        return b'{"batch_predictions":[' + b",".join(items) + b"]}"
    query = begin(
        processor,
        application,
        request=request,
        input=bytes(inputs[0]),
        arrived=arrived,
        version=version,
    )
    await query.settled()
    return render(prediction_of(query), models=request.models)


def begin(
    processor: QueryProcessor,
    application: ApplicationSpec,
    *,
    request: PredictRequest,
    input: bytes,
    arrived: float,
    version: VersionSpec | None,
    features: tuple[float, ...] | None = None,
    allowance: Allowance | None = None,
) -> Query:
    """Ask about one input of a request; raise, before any model is asked, what is wrong with it."""
    if features is None:
        features = processor.features_of(application, request.features, version=version)
    check_type(input, input_type=application.input_type)
    return processor.begin(
        application,
        input=input,
        arrived=arrived,
        context=request.context,
        key=request.key,
        features=features,
        version=version,
        timeout_ms=request.timeout_ms,
        traced=request.explain,
        allowance=allowance,
    )


def _batch(
    processor: QueryProcessor,
    application: ApplicationSpec,
    *,
    request: PredictRequest,
    arrived: float,
    version: VersionSpec | None,
    slice: Slice,
) -> InputBatch:
    """Ask about a small batch at once, about a large one behind all others, as answers come."""
    inputs = request.inputs()
    features = processor.features_of(application, request.features, version=version)
    arms, allowance = processor.resources.router.arms(application), None
    if request.is_large:
        allowance = allowance_for(
            application,
            options=arms.options,
            inputs=len(inputs),
            arrived=arrived,
            timeout_ms=request.timeout_ms,
        )

    def ask(input: bytes) -> Query:
        return begin(
            processor,
            application,
            request=request,
            features=features,
            input=input,
            arrived=arrived if allowance is None else monotonic(),
            version=version,
            allowance=allowance,
        )

    def window() -> int:
        if allowance is None:
            return SMALL_BATCH
        asked = [one.version for one in arms.targets.values()] if version is None else [version]
        return rows_open(processor.resources.engine, [one.id for one in asked])

    return InputBatch(
        inputs,
        begin=ask,
        render=partial(_render_item, models=request.models),
        window=window,
        slice=slice,
        patient=allowance is not None,
    )


def _render_item(item: Query | ClipperError, *, models: bool) -> bytes:
    if isinstance(item, ClipperError):
        return _json(item.body())
    try:
        return render(prediction_of(item), models=models)
    except ClipperError as error:
        return _json(error.body())


def render(prediction: Prediction, *, models: bool = True) -> bytes:
    """Return the JSON, put together from parts that need no escaping."""
    explanation = prediction.default_explanation
    default = (
        b'"default":false'
        if explanation is None
        else b'"default":true,"default_explanation":' + _json(explanation)
    )
    said = b",".join([b'"%b":%b' % (arm.encode(), out) for arm, out in prediction.models.items()])
    breakdown = prediction.breakdown
    explained = b"" if breakdown is None else b',"explain":' + _json(breakdown)
    return (
        b'{"query_id":"%b","output":%b,%b,"confidence":%.4g,%b'
        b'"asked":%d,"answered":%d,"latency_ms":%.3f%b}'
        % (
            prediction.query_id.encode(),
            prediction.output,
            default,
            prediction.confidence,
            b'"models":{%b},' % said if models else b"",
            prediction.asked,
            len(prediction.models),
            prediction.latency_ms,
            explained,
        )
    )
