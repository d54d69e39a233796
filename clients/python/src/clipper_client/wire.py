"""Between steps and httpx: what is sent, what came back, and what went wrong on the way."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

import httpx

from clipper_client.errors import (
    TIMEOUT,
    UNAUTHENTICATED,
    UNEXPECTED_ANSWER,
    UNREACHABLE,
    ClipperError,
)
from clipper_client.steps import Request, Response, Upload

DEFAULT_URL = "http://127.0.0.1:8000"
# What the client's own paths begin with.
API = ("/api", "/api/v1")
# Between two pieces of an upload nothing may happen for so long.
UPLOAD_SILENCE_S = 120.0
CONNECT_S = 5.0
BAD_REQUEST, UNAUTHORIZED = 400, 401
# How nginx, Caddy and others answer HTTP where they expect TLS.
TO_TLS = re.compile(rb"(?i)(plain HTTP|HTTP) request (was sent )?to (an )?HTTPS")
_JSON = {"content-type": "application/json"}
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Address:
    """Where Clipper is, and the key that is shown there; by default the environment says both."""

    def __init__(self, url: str | None, *, key: str | None) -> None:
        self.url = (url or os.environ.get("CLIPPER_URL") or DEFAULT_URL).rstrip("/")
        self.key = key if key is not None else os.environ.get("CLIPPER_KEY")
        # Whether anything has ever come back from there.
        self.answered = False
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"Expected an address that starts with http, got {self.url!r}.")
        if self.url.endswith(API):
            alone = self.url.removesuffix("/v1").removesuffix("/api")
            raise ValueError(f"Expected the server's address alone, {alone}, got {self.url}.")

    @property
    def headers(self) -> dict[str, str]:
        if not self.key:
            return {}
        if not (self.key.isascii() and self.key.isprintable()):
            raise ValueError("Expected a key of printable ASCII characters.")
        return {"Authorization": f"Api-Key {self.key}"}

    def socket(self, path: str) -> str:
        """The address of a websocket."""
        return "ws" + self.url.removeprefix("http") + path

    def reason(self, error: Exception) -> str:
        """Return what kept a request from its answer; of TLS on one side alone say so."""
        told = str(error).rstrip(".") or type(error).__name__
        if "WRONG_VERSION_NUMBER" in told or "RECORD_LAYER_FAILURE" in told:
            return "it doesn't speak TLS there: its address begins with http://"
        if "CERTIFICATE_VERIFY_FAILED" in told:
            return f"{told}; SSL_CERT_FILE names a file of certificates to trust"
        if self.answered or self.url.startswith("https") or isinstance(error, _NEVER_SENT):
            return told
        return f"{told}; if it speaks TLS there, its address begins with https://"

    def __repr__(self) -> str:
        return f"<{self.url}, {'with' if self.key else 'without'} a key>"


def sent_by(request: Request, *, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of httpx for everything but the upload."""
    read_s = timeout_s + request.extra_time_s
    arguments: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "headers": dict(request.headers),
        "timeout": httpx.Timeout(read_s, connect=min(CONNECT_S, read_s)),
    }
    if request.params:
        arguments["params"] = dict(request.params)
    if request.body is not None:
        arguments["content"] = request.body
        arguments["headers"] = _JSON | arguments["headers"]
    return arguments


class UploadedFile:
    """A file that tells how much of it was read; httpx asks it for its size, and for pieces."""

    def __init__(self, file: IO[bytes], upload: Upload) -> None:
        self._file = file
        self._tell = upload.progress
        self._sent = 0

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._sent = self._file.seek(offset, whence)
        return self._sent

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._sent += len(piece)
        if self._tell is not None:
            self._tell(self._sent)
        return piece


@contextmanager
def opened(upload: Upload | None) -> Iterator[dict[str, Any]]:
    """Yield the arguments of httpx for the upload; its file is open meanwhile."""
    if upload is None:
        yield {}
        return
    silence = httpx.Timeout(UPLOAD_SILENCE_S, connect=CONNECT_S)
    if upload.file is None:
        # A form without a file would be sent in another encoding.
        parts = [(name, (None, value)) for name, value in upload.fields.items()]
        yield {"files": parts, "timeout": silence}
        return
    with upload.file.open("rb") as file:
        content = cast("IO[bytes]", UploadedFile(file, upload))
        yield {
            "data": dict(upload.fields),
            "files": {"artifact": (upload.file.name, content, "application/octet-stream")},
            "timeout": silence,
        }


def received(response: httpx.Response, *, address: Address) -> Response:
    """Return what came back. Raises ClipperError where it was refused for want of a key."""
    if response.status_code == UNAUTHORIZED and not address.key:
        raise ClipperError(
            f"No API key for {address.url}: set CLIPPER_KEY, or give one (key=, --key).",
            code=UNAUTHENTICATED,
            status=UNAUTHORIZED,
        )
    address.answered = True
    if response.status_code == BAD_REQUEST and TO_TLS.search(response.content[:1024]):
        raise ClipperError(
            f"{address.url} speaks TLS: its address begins with https://.",
            code=UNEXPECTED_ANSWER,
            status=BAD_REQUEST,
        )
    headers: Mapping[str, str] = {name.lower(): text for name, text in response.headers.items()}
    return Response(status=response.status_code, headers=headers, body=response.content)


@contextmanager
def failures_told(address: Address) -> Iterator[None]:
    """Raise ClipperError for whatever keeps a request from being answered."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise ValueError(f"Expected an address, got {address.url!r}: {error}") from error
    except httpx.TimeoutException as error:
        if isinstance(error, _NEVER_SENT):
            raise _unreachable(error, address=address) from error
        raise ClipperError(f"{address.url} didn't answer in time.", code=TIMEOUT) from error
    except httpx.HTTPError as error:
        raise _unreachable(error, address=address) from error


def _unreachable(error: Exception, *, address: Address) -> ClipperError:
    return ClipperError(
        f"Can't reach Clipper at {address.url}: {address.reason(error)}.",
        code=UNREACHABLE,
        details={"never_sent": isinstance(error, _NEVER_SENT)},
    )
