"""A process for a real server; it behaves as its environment says when imported."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from serving.http.asgi import send_body
from serving.http.connections import Connections
from tests.serving.master.served import BEHAVIOUR

behaviour = Path(os.environ[BEHAVIOUR]).read_text()
if behaviour == "broken":
    import_module("nothing_of_this_name")


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer whatever is asked with the process id."""
    await send_body(send, str(os.getpid()).encode())


@asynccontextmanager
async def application(replaces: bool) -> AsyncIterator[Connections]:
    if behaviour == "unable":
        raise RuntimeError("no database")
    yield Connections(answer, refusals=Counter())
