"""Sources of artifacts for a host: web processes, or the storage itself."""

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Protocol
from urllib.parse import urlsplit

from django.core.files.storage import Storage

from core.errors import NotFound
from core.host_tokens import HostTokens
from registry.artifacts.artifact_store import name_of

CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class SourceFailed(Exception):
    """A source sends nothing now, for this reason, and may later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """An artifact of `size` bytes from `offset` on; `chunks` raises SourceFailed."""

    size: int
    offset: int
    chunks: Iterator[bytes]
    close: Callable[[], object] = lambda: None


class Source(Protocol):
    @property
    def name(self) -> str: ...

    def send(self, digest: str, *, offset: int) -> Arriving:
        """Send it from `offset` or from the beginning. Raises SourceFailed or NotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSource:
    """The storage of the settings, such as a bucket."""

    storage: Storage
    name: str = "the storage of artifacts"

    def send(self, digest: str, *, offset: int) -> Arriving:
        name = name_of(digest)
        with _failing():
            if not self.storage.exists(name):
                raise NotFound(f"The artifact {digest} is missing from {self.name}.")
            size = self.storage.size(name)
        return Arriving(size=size, offset=offset, chunks=self._chunks(name, offset=offset))

    def _chunks(self, name: str, *, offset: int) -> Iterator[bytes]:
        chunks = self._read(name, offset=offset)
        while True:
            with _failing():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def _read(self, name: str, *, offset: int) -> Iterator[bytes]:
        read_from: Callable[..., Iterator[bytes]] | None = getattr(self.storage, "read_from", None)
        if read_from is not None:  # it sends a range
            yield from read_from(name, offset=offset)
            return
        with self.storage.open(name, "rb") as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSource:
    """A web process, by its URL; tokens expire, so clocks have to be about right."""

    url: str
    tokens: HostTokens
    tls: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        return self.url

    def send(self, digest: str, *, offset: int) -> Arriving:
        connection = self._connection()
        try:
            response = self._ask(connection, digest=digest, offset=offset)
            return self._arriving(response, connection=connection, digest=digest)
        except (OSError, HTTPException) as error:
            connection.close()
            raise SourceFailed(str(error) or type(error).__name__) from error
        except BaseException:
            connection.close()
            raise

    def _connection(self) -> HTTPConnection:
        place = urlsplit(self.url)
        host, timeout = place.hostname or "", 10.0  # a silent source is asked again
        if place.scheme == "https":
            return HTTPSConnection(host, place.port, timeout=timeout, context=self.tls)
        return HTTPConnection(host, place.port, timeout=timeout)

    def _ask(self, connection: HTTPConnection, *, digest: str, offset: int) -> HTTPResponse:
        headers = {"Authorization": self.tokens.make(digest, now=time.time())}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        path = urlsplit(self.url).path.rstrip("/") + f"/api/v1/artifacts/{digest}"
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def _arriving(
        self, response: HTTPResponse, *, connection: HTTPConnection, digest: str
    ) -> Arriving:
        if response.status == 404:
            raise NotFound(f"The artifact {digest} is missing from {self.name}.")
        part = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        length = response.headers.get("Content-Length", "")
        if response.status == 206 and part is not None:
            offset, size = int(part[1]), int(part[2])
        elif response.status == 200 and length.isdigit():
            offset, size = 0, int(length)
        else:
            raise SourceFailed(_refusal(response))
        return Arriving(size=size, offset=offset, chunks=_chunks(response), close=connection.close)


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            # What has come, rather than all of a chunk: silence shows at once.
            chunk = response.read1(CHUNK_BYTES)
        except (OSError, HTTPException) as error:
            raise SourceFailed(str(error) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk


def _refusal(response: HTTPResponse) -> str:
    words = response.read(2000).decode(errors="replace")
    with suppress(ValueError, KeyError, TypeError):
        words = str(json.loads(words)["error"])
    return f"{response.status} {response.reason}: {words}"


@contextmanager
def _failing() -> Iterator[None]:
    """Turn what a storage raises into SourceFailed; each has errors of its own."""
    try:
        yield
    except NotFound:
        raise
    except Exception as error:
        raise SourceFailed(f"{type(error).__name__}: {error}") from error
