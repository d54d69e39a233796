"""Where a request comes from."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.request import Request


def address_of(request: HttpRequest | Request) -> str:
    """The other end of the connection; behind a proxy that is the proxy."""
    return str(request.META.get("REMOTE_ADDR") or "")
