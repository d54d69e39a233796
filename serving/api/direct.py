"""Predictions without ASGI: from a request's body to the JSON of its answer, nothing to await."""

from __future__ import annotations

from collections.abc import Sequence

from registry.errors import ClipperError, InvalidInput
from serving.api.failures import identify
from serving.api.heads import Heads, PredictionHead
from serving.api.predict import begin, render
from serving.api.requests import PredictRequest, parse_predict, plain_input
from serving.api.splitting import has_batch
from serving.query.processor import QueryProcessor
from serving.query.query import Query

# Where the application's lifespan leaves what answers predictions, for each connection to find.
STATE_KEY = "predictions"
# What a body asks that names an input and nothing else.
PLAIN = PredictRequest()

DefaultHeaders = Sequence[tuple[bytes, bytes]]


class DirectPredictions:
    """What connections ask for plain predictions; a web process has one."""

    def __init__(self, processor: QueryProcessor, *, max_body_bytes: int) -> None:
        self.heads = Heads(lambda: processor.router.snapshot)
        self.max_body_bytes = max_body_bytes
        self._processor = processor
        self._headers: DefaultHeaders = []
        self._rendered = b""

    def count_refusal(self, reason: str) -> None:
        """Count a connection that is ended for what its client does."""
        self._processor.metrics.refusals[reason] += 1

    def rendered(self, headers: DefaultHeaders) -> bytes:
        """Return headers of every response as bytes; uvicorn makes a new list once a second."""
        if headers is not self._headers:
            self._headers = headers
            self._rendered = b"".join([b"%b: %b\r\n" % field for field in headers])
        return self._rendered

    def begin(self, head: PredictionHead, body: bytes, *, arrived: float) -> Query | None:
        """Ask the models; None, and nothing was asked, where the ordinary way has to be taken.

        It renders many answers into one, waits for versions that were made a moment ago, and says
        what is wrong with a request.
        """
        try:
            request = PLAIN
            input = plain_input(body, input_type=head.application.input_type)
            if input is None:
                if has_batch(body):
                    return None
                request = parse_predict(body)
                if request.input_batch is not None or request.version is not None:
                    return None
                input = bytes(request.input)
                if not input:
                    return None
            return begin(
                self._processor,
                head.application,
                request=request,
                input=input,
                arrived=arrived,
                version=None,
            )
        except ClipperError:
            return None

    def answer(self, query: Query, *, body: bytes) -> bytes:
        """Return the JSON of the answer to a settled query; raises what it fails with."""
        try:
            return render(query.prediction())
        except ClipperError as error:
            if isinstance(error, InvalidInput):
                # It may be no JSON at all: its model was the first to look.
                parse_predict(body)
            identify(error, query=query)
            raise
