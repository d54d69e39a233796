"""Bodies of the management API: strict JSON of bounded size, forms and bytes."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

import msgspec
from django.conf import settings
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from core.decoding import decoded
from core.errors import BodyTooLarge, UnsupportedEncoding

ANYTHING = msgspec.json.Decoder(Any)


class JsonParser(BaseParser):
    """JSON as RFC 8259 has it: UTF-8, no NaN, no lone surrogates, no endless nesting."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return decoded(ANYTHING, bounded_body(stream))


class OctetStreamParser(BaseParser):
    """Leaves the bytes to `octets_of`: what a request holds stays in memory for some time."""

    media_type = "application/octet-stream"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return stream


def bounded_body(stream: IO[Any]) -> bytes:
    """Return all of a body. Raises BodyTooLarge."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(f"Expected a body of at most {limit} bytes.", limit=limit)
    return body


def octets_of(request: Request) -> bytes:
    """Return the body that `OctetStreamParser` left unread."""
    body: Any = request.data
    # The REST framework has an empty dictionary where there is no body.
    return bounded_body(body) if hasattr(body, "read") else b""


class JsonOnly(BaseContentNegotiation):
    """Answers JSON whatever the client accepts, so that errors reach it too."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        given = _media_type(request)
        for parser in parsers:
            if given == parser.media_type:
                return parser
        return None

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


def check_encoding(request: Request) -> None:
    """Raise UnsupportedEncoding for a compressed body."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedEncoding(f"Expected a body that isn't compressed, got {encoding}.")


def is_json(request: Request) -> bool:
    """Say whether a request that takes several kinds of body has JSON."""
    return _media_type(request) == JsonParser.media_type


def _media_type(request: Request) -> str:
    return (request.content_type or "").partition(";")[0].strip().lower()
