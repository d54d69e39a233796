"""An artifact in pieces: sent again from where a link broke, and then registered by its sha256."""

import re
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import BadRequest, NotFound
from registry.api.body_parsers import OctetStreamParser, octets_of
from registry.api.permissions import actor_of, needs
from registry.api.views.management_view import ManagementView, schema, whole_number
from registry.artifacts.parts import DIGEST, UploadParts

RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


class ReceivedOut(serializers.Serializer[Any]):
    received = serializers.IntegerField(help_text="Bytes that are here, from the beginning on.")


class UploadView(ManagementView):
    parser_classes = [OctetStreamParser]
    for_bound_keys = ("GET", "PUT")
    permissions = needs("modelversion", PUT="add")

    @schema(
        "Say how much of an artifact has come",
        answer=ReceivedOut,
        parameters=[OpenApiParameter("total", int, description="Of one of so many bytes in all.")],
    )
    def get(self, request: Request, sha256: str) -> Response:
        total = whole_number(request, "total", default=0, low=1, high=10**15 - 1)
        received = UploadParts.default().received(_digest(sha256), total=total or None)
        return Response({"received": received})

    @schema(
        "Send a piece of an artifact",
        body={"application/octet-stream": OpenApiTypes.BINARY},
        answer=ReceivedOut,
        parameters=[
            OpenApiParameter(
                "Content-Range",
                str,
                location=OpenApiParameter.HEADER,
                required=True,
                description="Which bytes, of how many: `bytes 0-1048575/2147483648`.",
            )
        ],
    )
    def put(self, request: Request, sha256: str) -> Response:
        piece, by = octets_of(request), actor_of(request)
        digest, (first, total) = _digest(sha256), _range(request, size=len(piece))
        sender = by.key_prefix or f"account {by.user.pk if by.user else None}"
        received = UploadParts.default().append(
            digest, offset=first, total=total, piece=piece, sender=sender
        )
        return Response({"received": received})


def _digest(text: str) -> str:
    if not DIGEST.fullmatch(text):
        raise NotFound("Expected the sha256 of an artifact, in lower-case hexadecimal.")
    return text


def _range(request: Request, *, size: int) -> tuple[int, int]:
    """Return the first byte that came, and how many there will be."""
    text = request.headers.get("Content-Range", "")
    found = RANGE.fullmatch(text)
    if found is None or int(found[2]) - int(found[1]) + 1 != size:
        raise BadRequest(
            f"Expected a Content-Range such as bytes 0-{max(0, size - 1)}/{size}, got {text!r} "
            f"with {size} bytes."
        )
    return int(found[1]), int(found[3])
