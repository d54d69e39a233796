"""POST predict: parse, ask, render. Raw ASGI, because a framework costs more than a model."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from time import monotonic

import msgspec

from core.errors import BadRequest, ClipperError, ModelFailed
from core.loop.loop_slices import Slice
from core.specs import PREDICT, ApplicationSpec, VersionSpec
from serving.endpoints.key_access import application_of
from serving.endpoints.person_pass import is_pass
from serving.endpoints.predictions.batch_splitting import R, parse
from serving.endpoints.predictions.binary_inputs import binary_request, is_binary
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
from serving.query.budget import ANSWER_TOO_LARGE, MAX_ANSWER_BYTES, SMALL_BATCH
from serving.query.large_batches import (
    REFUSED_PAUSE_S,
    Allowance,
    OpenRows,
    Rows,
    allowance_for,
    rows_open,
)
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
        application, request, is_raw, slice = await read_request(
            runtime, scope, receive, decoder=decoder
        )
        if is_raw and request.input_batch and len(request.input_batch) == 1:
            [request.input], request.input_batch = request.input_batch, None
        checked(request)
        with while_connected(scope):
            answered = await answer(
                runtime,
                application=application,
                request=request,
                arrived=arrived,
                slice=slice,
                trial=is_pass(header(scope, b"authorization")),
            )
        await send_body(send, answered)

    return predict


async def read_request(
    runtime: Runtime, scope: Scope, receive: Receive, *, decoder: msgspec.json.Decoder[R]
) -> tuple[ApplicationSpec, R, bool, Slice]:
    """Return the application asked, the request, if it came as raw bytes, and its slice."""
    require_method(scope, "POST")
    application = await application_of(runtime, scope, needs=PREDICT)
    body = await read_body(scope, receive, limit=runtime.spec.max_body_bytes)
    slice = Slice(runtime.processor.resources.turns)
    kind = header(scope, b"content-type") or b""
    if is_binary(kind, input_type=application.input_type):
        query = scope["query_string"]
        request = binary_request(decoder.type, body, content_type=kind, query=query)
        return application, request, True, slice
    request = await parse(decoder, body, input_type=application.input_type, slice=slice)
    return application, request, False, slice


async def answer(
    runtime: Runtime,
    *,
    application: ApplicationSpec,
    request: PredictRequest,
    arrived: float,
    slice: Slice | None = None,
    trial: bool = False,
) -> bytes:
    """Return the response's JSON; raise the error of a single input."""
    if trial and request.input_batch is not None:
        raise BadRequest("A trial asks about one input: expected input, got input_batch.")
    version = None
    if request.version is not None:
        version = await runtime.found(
            partial(requested_version, request.version, application=application)
        )
    processor = runtime.processor
    inputs = request.inputs()
    if request.input_batch is not None:
        batch = PredictionBatch(
            processor, application, request=request, arrived=arrived, version=version
        )
        with processor.resources.large_batches if request.is_large else nullcontext():
            items = await batch.answer(slice or Slice(processor.resources.turns))
        return b'{"batch_predictions":[' + b",".join(items) + b"]}"
    query = begin(
        processor,
        application,
        request=request,
        input=bytes(inputs[0]),
        arrived=arrived,
        version=version,
        trial=trial,
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
    trial: bool = False,
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
        trial=trial,
    )


class PredictionBatch:
    """The inputs of one request, each begun as a query and rendered once that is settled.

    A small batch is asked at once. Inputs of a large one go behind all other queries, and are asked
    about again if they found no room.
    """

    def __init__(
        self,
        processor: QueryProcessor,
        application: ApplicationSpec,
        *,
        request: PredictRequest,
        arrived: float,
        version: VersionSpec | None,
    ) -> None:
        self._processor = processor
        self._application = application
        self._request = request
        self._arrived = arrived
        self._version = version
        self._inputs = request.inputs()
        self._features = processor.features_of(application, request.features, version=version)
        self._allowance: Allowance | None = None
        if request.is_large:
            self._allowance = allowance_for(
                application,
                options=processor.resources.router.arms(application).options,
                inputs=len(self._inputs),
                arrived=arrived,
                timeout_ms=request.timeout_ms,
            )
        self._queries: dict[int, Query] = {}
        self._items = [b""] * len(self._inputs)
        self._bytes = 0

    async def answer(self, slice: Slice) -> list[bytes]:
        """Return each input's answer or error as JSON, in order; cancelled, abandon the rest."""
        rows = OpenRows(
            len(self._inputs), ask=self._ask, end=self._end, room=self._room, slice=slice
        )
        await rows.answer(at_once=self._allowance is None)
        return self._items

    def _room(self) -> int:
        if self._allowance is None:
            return SMALL_BATCH
        resources, version = self._processor.resources, self._version
        targets = resources.router.arms(self._application).targets.values()
        asked = [target.version for target in targets] if version is None else [version]
        return rows_open(resources.engine, [one.id for one in asked])

    def _ask(self, rows: Rows, settled: Callable[[], None]) -> Callable[[], None] | None:
        (position,) = rows
        try:
            query = begin(
                self._processor,
                self._application,
                request=self._request,
                features=self._features,
                input=bytes(self._inputs[position]),
                arrived=self._arrived if self._allowance is None else monotonic(),
                version=self._version,
                allowance=self._allowance,
            )
        except ClipperError as error:
            self._items[position] = _json(error.body())
            return None
        self._queries[position] = query
        query.when_settled(settled)
        return query.abandon

    def _end(self, rows: Rows) -> Rows:
        (position,) = rows
        query = self._queries.pop(position)
        waits = self._allowance is not None and query.found_no_room
        if waits and monotonic() + REFUSED_PAUSE_S < query.deadline:
            return rows
        try:
            item = render(prediction_of(query), models=self._request.models)
            if self._bytes + len(item) > MAX_ANSWER_BYTES:
                raise ModelFailed(ANSWER_TOO_LARGE)
        except ClipperError as error:
            item = _json(error.body())
        self._bytes += len(item)
        self._items[position] = item
        return []


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
