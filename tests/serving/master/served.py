"""A process such as a master runs: it answers each connection with its process id."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop

from serving.master.inherited import Inherited

BEHAVIOUR = "SERVED_BEHAVIOUR"
# So many turns of the event loop at most it takes until a connection has its task. The loop is
# uvloop's, as in a web process: asyncio's may drop what it has accepted when the server closes.
LET_IN = 5


async def main() -> None:
    inherited = Inherited()
    behaviour = Path(os.environ[BEHAVIOUR]).read_text()

    def listen_to_master() -> None:
        if inherited.must_retire():
            ending.set()

    ending = asyncio.Event()
    if behaviour == "broken":
        inherited.failed("ImportError: no module\nof this name")
        sys.exit(3)
    if behaviour == "dead":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "silent":
        await asyncio.Event().wait()
    loop = asyncio.get_running_loop()
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        loop.add_signal_handler(signal.SIGTERM, ending.set)
        loop.add_reader(inherited.line, listen_to_master)
    server = await asyncio.start_server(answer, sock=inherited.sockets["http"])
    inherited.ready()
    await ending.wait()
    server.close()
    # Who was let in just now is answered all the same.
    for _ in range(LET_IN):
        await asyncio.sleep(0)
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(f"{os.getpid()}\n".encode())
    writer.close()


if __name__ == "__main__":
    uvloop.run(main())
