"""All keys of Redis as they are at one moment, by the file that it sends to a replica."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import Conflict
from core.redis.redis_client import redis_client

# While it saves, a server sends an empty line each second.
SILENT_S = 60.0


@contextmanager
def redis_moment(*, each_second: Callable[[], object]) -> Iterator[Callable[[Path], None]]:
    """Yield what writes the keys into a file, as they were when they began to be saved.

    `each_second` is called while Redis saves them. Raises Conflict.
    """
    pool: Any = redis_client().connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command("SYNC")
        connection._sock.settimeout(SILENT_S)  # noqa: SLF001  (redis-py reads no files)
        with connection._sock.makefile("rb") as sent:  # noqa: SLF001
            head = b"\n"
            while head == b"\n":
                each_second()
                head = sent.readline()
            if not head.startswith(b"$"):
                raise Conflict(f"Expected Redis to send its keys on SYNC, got {head.decode()!r}.")
            yield partial(_write, sent, int(head[1:]))
    finally:
        connection.disconnect()
        pool.release(connection)


def _write(sent: BinaryIO, size: int, file: Path) -> None:
    with file.open("wb") as kept:
        while size and (piece := sent.read(min(size, 1 << 20))):
            size -= kept.write(piece)
    if size:
        raise Conflict(f"Redis closed the connection {size} bytes before the end of its keys.")
