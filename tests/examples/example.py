"""The container of examples/, as a process of its own and as an artifact."""

import asyncio
import io
import os
import shutil
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from serving.rpc.frames.hello import Hello
from tests.architecture.source import ROOT

FOLDER = ROOT / "examples" / "container"
SECRET = "the secret of this cluster, and of no other"
HELLO = Hello(
    replica="r1", model="sizes", version="1", version_id=1, generation=1, input_type="doubles"
)
LIMIT_S = 15


class Started(msgspec.Struct):
    """Its announcement that it listens."""

    ok: bool
    address: str


@asynccontextmanager
async def running(
    address: str, *, environment: dict[str, str] | None = None
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Yield where the container listens, and its process."""
    assert shutil.which("node"), "Node.js isn't installed: install it (apt-get install nodejs)"
    process = await asyncio.create_subprocess_exec(
        *(FOLDER / "container.js", "--address", address),
        *("--hello", msgspec.json.encode(HELLO).decode()),
        env=os.environ | {"CLIPPER_CLUSTER_SECRET": SECRET} | (environment or {}),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), LIMIT_S)
        yield msgspec.json.decode(line, type=Started).address, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def zipped(folder: Path = FOLDER) -> bytes:
    """The artifact of the runtime `command`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return buffer.getvalue()
