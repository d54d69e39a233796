"""How the management API reads bodies: strict JSON of bounded size, or one multipart form."""

from __future__ import annotations

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
    """Bytes as they are, which the view reads by `octets_of`.

    What a request holds lives until its circles of references are found: bodies of some fifty
    requests would lie in memory.
    """

    media_type = "application/octet-stream"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return stream


def bounded_body(stream: IO[Any]) -> bytes:
    """Return all of a body. Raises BodyTooLarge where it is more than one in memory may be."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(f"Expected a body of at most {limit} bytes.", limit=limit)
    return body


def octets_of(request: Request) -> bytes:
    """Return the body of a request to a view that takes it by OctetStreamParser."""
    body: Any = request.data
    # The REST framework has an empty dictionary where there is no body.
    return bounded_body(body) if hasattr(body, "read") else b""


class JsonOnly(BaseContentNegotiation):
    """Answers JSON whatever the client says it accepts, so that errors reach it too."""

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
    """Whether the body of a request that takes several kinds says that it is JSON."""
    return _media_type(request) == JsonParser.media_type


def _media_type(request: Request) -> str:
    return (request.content_type or "").partition(";")[0].strip().lower()
