"""Whether the console answers, as a process that answers queries sees it."""

from __future__ import annotations

import asyncio

from serving.web.readiness import OK

ASKED_WITHIN_S = 2.0
QUESTION = b"GET /health/console HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 "


async def console_state(socket: str) -> str:
    """Ask the console for its health at the Unix socket where it takes requests."""
    try:
        async with asyncio.timeout(ASKED_WITHIN_S):
            return OK if await _answers(socket) else "answers with an error"
    except (OSError, EOFError) as error:
        return f"cannot be reached ({type(error).__name__})"


async def _answers(socket: str) -> bool:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(QUESTION)
        return await reader.readexactly(len(ANSWER)) == ANSWER
    finally:
        writer.close()
