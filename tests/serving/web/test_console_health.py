"""A process that answers queries says whether the console does, whatever becomes of that."""

import asyncio
from pathlib import Path

import pytest

from serving.rpc.address import UnixAddress
from serving.web.readiness import console_state


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "ok"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answers with an error"),
        (b"", "cannot be reached (IncompleteReadError)"),
    ],
)
async def test_it_says_what_the_console_answers(answer: bytes, state: str, tmp_path: Path) -> None:
    asked = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    path = tmp_path / "console.sock"
    async with await asyncio.start_unix_server(connected, path=path):
        assert await console_state(UnixAddress(path)) == state
    assert asked[0].startswith(b"GET /health/console HTTP/1.1\r\n")


async def test_it_waits_for_a_silent_console_no_longer_than_it_has_to(
    tmp_path: Path,
) -> None:
    silent = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    path = str(tmp_path / "console.sock")
    async with await asyncio.start_unix_server(connected, path=path):
        assert (
            await console_state(UnixAddress(Path(path)), within_s=0.05)
            == "cannot be reached (TimeoutError)"
        )
        silent.set()
