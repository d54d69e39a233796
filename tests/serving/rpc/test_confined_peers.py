"""A replica lets the stack's processes in by its Unix socket, and none with a model's code."""

import asyncio
import sys
from pathlib import Path
from typing import cast

import pytest

from serving.rpc.connection import accept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells who connects")

DIALS = """
import ctypes, socket, sys
if sys.argv[2] == "model":
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(sys.argv[1])
    try:
        print(peer.recv(16).decode())
    except ConnectionError:
        print()
"""


class Greets(asyncio.Protocol):
    """Says hello to whom it is given to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)
        stream.write(b"hello")
        stream.close()


@pytest.mark.parametrize(("who", "said"), [("web", "hello"), ("model", "")])
async def test_only_the_stack_s_own_processes_are_let_in(path: Path, who: str, said: str) -> None:
    listener = await accept(f"unix:{path}", new_protocol=Greets)
    dialling = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DIALS, path, who), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await dialling.communicate()
    listener.close()
    assert out.decode().strip() == said
