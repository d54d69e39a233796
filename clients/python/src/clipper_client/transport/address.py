"""Address and key of a server, and the errors of a connection to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from websockets.exceptions import InvalidStatus, WebSocketException

from clipper_client.errors import (
    TIMEOUT,
    UNAUTHENTICATED,
    UNEXPECTED_ANSWER,
    UNREACHABLE,
    ClipperError,
)

DEFAULT_URL = "http://127.0.0.1:8000"
# The beginning of the client's own paths.
API = ("/api", "/api/v1")
# How nginx, Caddy and others answer HTTP where they expect TLS.
TO_TLS = re.compile(rb"(?i)(plain HTTP|HTTP) request (was sent )?to (an )?HTTPS")
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Address:
    """URL and API key of a server; the environment has the defaults of both."""

    def __init__(self, url: str | None, *, key: str | None) -> None:
        self.url = (url or os.environ.get("CLIPPER_URL") or DEFAULT_URL).rstrip("/")
        self.key = key if key is not None else os.environ.get("CLIPPER_KEY")
        # True once anything has come back from there.
        self.answered = False
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"Expected an address that starts with http, got {self.url!r}.")
        if self.url.endswith(API):
            alone = self.url.removesuffix("/v1").removesuffix("/api")
            raise ValueError(f"Expected the server's address alone, {alone}, got {self.url}.")
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise ValueError("Expected a key of printable ASCII characters.")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Api-Key {self.key}"} if self.key else {}

    def socket(self, path: str) -> str:
        """Return the address of a websocket."""
        return "ws" + self.url.removeprefix("http") + path

    def check(self, response: httpx.Response) -> None:
        """Raise ClipperError if a response was refused for lack of a key or of TLS."""
        if response.status_code == 401 and not self.key:
            raise ClipperError(
                f"No API key for {self.url}: set CLIPPER_KEY, or give one (key=, --key).",
                code=UNAUTHENTICATED,
                status=401,
            )
        self.answered = True
        if response.status_code == 400 and TO_TLS.search(response.content[:1024]):
            raise ClipperError(
                f"{self.url} speaks TLS: its address begins with https://.",
                code=UNEXPECTED_ANSWER,
                status=400,
            )

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raise ClipperError for whatever keeps a request or a message from being answered."""
        try:
            yield
        except httpx.InvalidURL as error:
            raise ValueError(f"Expected an address, got {self.url!r}: {error}") from error
        except InvalidStatus as error:
            raise ClipperError(
                f"{self.url} refused the websocket with status {error.response.status_code}.",
                code=UNEXPECTED_ANSWER,
                status=error.response.status_code,
            ) from error
        except (httpx.HTTPError, WebSocketException, OSError) as error:
            never_sent = isinstance(error, _NEVER_SENT)
            if isinstance(error, httpx.TimeoutException | TimeoutError) and not never_sent:
                raise ClipperError(f"{self.url} didn't answer in time.", code=TIMEOUT) from error
            raise ClipperError(
                f"Can't reach Clipper at {self.url}: {self._reason(error)}.",
                code=UNREACHABLE,
                details={"never_sent": never_sent},
            ) from error

    def _reason(self, error: Exception) -> str:
        """Return what broke the connection; name the missing TLS of one side."""
        reason = str(error).rstrip(".") or type(error).__name__
        if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
            return "it doesn't speak TLS there: its address begins with http://"
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return f"{reason}; SSL_CERT_FILE names a file of certificates to trust"
        if self.answered or self.url.startswith("https") or isinstance(error, _NEVER_SENT):
            return reason
        return f"{reason}; if it speaks TLS there, its address begins with https://"

    def __repr__(self) -> str:
        return f"<{self.url}, {'with' if self.key else 'without'} a key>"
