"""A replica lets the stack's processes in by its Unix socket, and none with a model's code."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import uvloop

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
@pytest.mark.parametrize("new_loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
def test_only_the_stack_s_own_processes_are_let_in(
    tmp_path: Path, who: str, said: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def dial() -> str:
        listener = await accept(f"unix:{tmp_path}/s", new_protocol=Greets)
        dialling = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DIALS, f"{tmp_path}/s", who), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await dialling.communicate()
        listener.close()
        return out.decode().strip()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(dial()) == said
