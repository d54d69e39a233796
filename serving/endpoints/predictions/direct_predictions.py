"""Predictions answered by the connection itself, with nothing to await.

A router and a task for each request cost more than a query. Requests that aren't plain go to the
endpoint of predictions: several inputs, chunks, HTTP/1.0, and whatever is wrong.
"""

from core.errors import ClipperError, InvalidInput
from core.redis.key_uses import KeyUses
from serving.endpoints.predictions.batch_splitting import has_batch
from serving.endpoints.predictions.known_heads import Heads, PredictionHead
from serving.endpoints.predictions.predict import begin, render
from serving.endpoints.predictions.predict_request import NUMBERS, parse_predict
from serving.endpoints.predictions.query_failures import identify
from serving.query.processor import QueryProcessor
from serving.query.query import Query

# What may be nothing but numbers and brackets.
_PLAIN = NUMBERS | {"tensor"}
_OPENINGS = (b'{"input":[', b'{"input": [')


class DirectPredictions:
    """The short cut of one web process: from a request to the JSON of its answer."""

    def __init__(
        self, processor: QueryProcessor, *, max_body_bytes: int, key_uses: KeyUses | None = None
    ) -> None:
        router = processor.resources.router
        self.heads = Heads(lambda: router.snapshot, max_body_bytes=max_body_bytes)
        self.find = self.heads.find
        self._processor = processor
        self._key_uses = key_uses or KeyUses()

    def begin(self, head: PredictionHead, body: bytes, *, arrived: float) -> Query | None:
        """Ask the models; return None, and ask nothing, if the endpoint has to answer."""
        application, processor = head.application, self._processor
        try:
            input = plain_input(body, input_type=application.input_type)
            if input is not None:
                self._key_uses.count(head.key)
                return processor.begin(application, input=input, arrived=arrived)
            if has_batch(body):
                return None
            request = parse_predict(body)
            plain = request.input_batch is None and request.version is None
            input = bytes(request.input)
            if not plain or not request.models or not input:
                return None
            self._key_uses.count(head.key)
            return begin(
                processor, application, request=request, input=input, arrived=arrived, version=None
            )
        except ClipperError:
            return None

    def answer(self, query: Query, *, body: bytes) -> bytes:
        """Return the JSON of the answer to a settled query; raise the error that it failed with."""
        try:
            return render(query.prediction())
        except ClipperError as error:
            if isinstance(error, InvalidInput):
                # It may be no JSON at all: its model was the first to look.
                parse_predict(body)
            identify(error, query=query)
            raise


def plain_input(body: bytes, *, input_type: str) -> bytes | None:
    """Return the array of a body without other fields, which need quotes; None for other bodies."""
    if input_type not in _PLAIN or not body.endswith(b"]}"):
        return None
    start = body.find(b"[", 0, 11)
    plain = (
        body[: start + 1] in _OPENINGS
        and body.find(b'"', start) < 0
        and body.find(b"}", start) == len(body) - 1
    )
    return body[start:-1] if plain else None
