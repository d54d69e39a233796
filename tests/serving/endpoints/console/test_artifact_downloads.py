"""A host of the cluster fetches an artifact from a web process; nobody else gets anything."""

import asyncio
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from core.errors import NotFound
from core.host_tokens import ARTIFACTS, LIFETIME_S, HostTokens
from registry.artifacts.artifact_sources import SourceFailed, WebSource
from registry.artifacts.fetching import trusted_authorities
from serving.endpoints.console.artifact_downloads import PIECE_BYTES, ArtifactDownloads
from serving.metrics.published import ArtifactCounts
from tests.serving.http.front_server import Client, Front, client_of, running
from tests.serving.rpc.tcp.certificates import Authority

SECRET = b"the cluster's secret, which is long"
TOKENS = HostTokens(SECRET, purpose=ARTIFACTS)
CONTENT = bytes(range(256)) * 4096  # four pieces
DIGEST = hashlib.sha256(CONTENT).hexdigest()
assert len(CONTENT) > 2 * PIECE_BYTES


class Web(Front):
    """A web process that hands out one artifact."""

    def __init__(self, folder: Path, *, at_once: int = 2) -> None:
        super().__init__()
        self.counts = ArtifactCounts()
        self.file = folder / DIGEST
        self.file.write_bytes(CONTENT)
        self._download = ArtifactDownloads(
            tokens=TOKENS,
            file_of=lambda digest: self.file if digest == DIGEST else None,
            at_once=at_once,
            counts=self.counts,
        ).endpoint()

    async def asgi(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        await self._download(scope, receive, send)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(
    folder: Path, *, at_once: int = 2, certificate: tuple[Path, Path] | None = None
) -> AsyncIterator[Web]:
    web = Web(folder, at_once=at_once)
    async with running(web):
        if certificate is None:
            yield web
        else:
            async with before(web, certificate=certificate):
                yield web


@asynccontextmanager
async def before(web: Web, *, certificate: tuple[Path, Path]) -> AsyncIterator[None]:
    """Have a proxy in front of the web process that terminates TLS."""
    port = web.port

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, outside = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, outside), copy(inside, writer), return_exceptions=True)

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    proxy = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=tls)
    web.port = proxy.sockets[0].getsockname()[1]
    yield
    proxy.close()


async def received(source: WebSource, digest: str = DIGEST, *, offset: int = 0) -> bytes:
    def receive() -> bytes:
        with closing(source.send(digest, offset=offset)) as arriving:
            assert (arriving.size, arriving.offset) == (len(CONTENT), offset)
            return b"".join(arriving.chunks)

    return await asyncio.to_thread(receive)


def get(*, token: str, digest: str = DIGEST, extra: str = "") -> bytes:
    head = f"GET /api/v1/artifacts/{digest} HTTP/1.1\r\nHost: here\r\n{extra}"
    return f"{head}Authorization: {token}\r\n\r\n".encode()


async def asked(web: Web, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    async with client_of(web) as client:
        await client.send(data)
        return await client.response()


async def test_a_host_gets_all_of_it_or_what_it_lacks(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        source = WebSource(url=web.url, tokens=TOKENS)
        assert await received(source) == CONTENT
        assert await received(source, offset=PIECE_BYTES + 7) == CONTENT[PIECE_BYTES + 7 :]
        assert (web.counts.sent, web.counts.sending, web.counts.refused) == (2, 0, 0)
        assert web.counts.sent_bytes == 2 * len(CONTENT) - PIECE_BYTES - 7


def forged_tokens() -> dict[str, str]:
    """As of now: what is ahead or expired is so for a while."""
    now = time.time()
    return {
        "none": "",
        "key": "Api-Key clp_secret",
        "short": "Clipper-Host 1.2",
        "forged": f"Clipper-Host {int(now) + 60}.{'0' * 64}",
        "foreign": HostTokens(b"the secret of another cluster", purpose=ARTIFACTS).make(
            DIGEST, now=now
        ),
        "other artifact": TOKENS.make("0" * 64, now=now),
        "expired": TOKENS.make(DIGEST, now=now - 2 * LIFETIME_S),
        "from ahead": TOKENS.make(DIGEST, now=now + 3 * LIFETIME_S),
    }


@pytest.mark.parametrize("kind", list(forged_tokens()))
async def test_a_stranger_gets_nothing_and_is_counted(tmp_path: Path, kind: str) -> None:
    async with serving(tmp_path) as web:
        token = forged_tokens()[kind]
        assert (await asked(web, get(token=token, digest="1" * 64)))[0] == 401
        web.counts.refused = 0
        status, headers, body = await asked(web, get(token=token))
        assert (status, headers[b"www-authenticate"]) == (401, b"Clipper-Host")
        assert json.loads(body)["code"] == "unauthenticated"
        assert (web.counts.refused, web.counts.sent_bytes) == (1, 0)


async def test_over_tls_it_goes_to_whom_the_clusters_authority_has_signed(
    tmp_path: Path, settings: Settings
) -> None:
    ours, other = (Authority.new(tmp_path, name=name) for name in ("ours", "other"))
    async with serving(tmp_path, certificate=ours.sign(host="127.0.0.1")) as web:
        url = web.url.replace("http:", "https:")
        settings.CLIPPER_TLS_CA = str(ours.certificate)
        trusting = WebSource(url=url, tokens=TOKENS, tls=trusted_authorities())
        assert await received(trusting) == CONTENT
        settings.CLIPPER_TLS_CA = str(other.certificate)
        wary = WebSource(url=url, tokens=TOKENS, tls=trusted_authorities())
        with pytest.raises(SourceFailed, match="certificate"):
            await received(wary)
        assert web.counts.sent == 1


async def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        with pytest.raises(NotFound, match=r"missing from http://127\.0"):
            await received(WebSource(url=web.url, tokens=TOKENS), "0" * 64)


async def test_an_odd_range_is_told_or_left_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        token = TOKENS.make(DIGEST, now=time.time())
        beyond = get(token=token, extra=f"Range: bytes={len(CONTENT)}-\r\n")
        assert (await asked(web, beyond))[0] == 400
        for odd in ("bytes=0-10", "bytes=-5", "pages=1-"):
            status, _, body = await asked(web, get(token=token, extra=f"Range: {odd}\r\n"))
            assert (status, body) == (200, CONTENT)


async def test_so_many_at_a_time_and_no_more(tmp_path: Path) -> None:
    # More than the sockets and the server's buffer take.
    async with serving(tmp_path, at_once=1) as web:
        with web.file.open("ab") as file:
            file.truncate(64 << 20)
        async with client_of(web) as slow:
            await slow.send(get(token=TOKENS.make(DIGEST, now=time.time())))
            await started(slow)
            source = WebSource(url=web.url, tokens=TOKENS)
            with pytest.raises(SourceFailed, match=r"503 .*1 artifacts are being sent"):
                await received(source)
            assert web.counts.sending == 1
        while web.counts.sending:  # the one that left gives its place back
            await asyncio.sleep(0.005)
        status, _, _ = await asked(web, get(token=TOKENS.make("0" * 64, now=0)))
        assert status == 401


async def started(client: Client) -> None:
    assert await client.reader.read(1)


async def test_a_file_that_is_cut_off_breaks_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as web:
        source = WebSource(url=web.url, tokens=TOKENS)

        def receive() -> int:
            with closing(source.send(DIGEST, offset=0)) as arriving:
                return sum(len(chunk) for chunk in arriving.chunks)

        with web.file.open("ab") as file:
            file.truncate(64 << 20)
            task = asyncio.create_task(asyncio.to_thread(receive))
            while not web.counts.sent_bytes:
                await asyncio.sleep(0.001)
            file.truncate(1 << 20)
        assert await task < 64 << 20
        assert web.counts.sent == 0
