"""Orders to a master over its Unix socket: one line asks, further ones answer.

Before what it asks, the line has the password of the master's environment, if that has one.
The last line is `done`, or `failed: ` and why. Where there is none the master has ended.
"""

import asyncio
import hmac
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from serving.master.listening import UNIX, listen
from serving.master.master import Master, RestartFailed, Tell

RESTART = "restart"
COUNTS = "counts"
DONE = "done"
FAILED = "failed: "
PASSWORD = "CLIPPER_CONTROL_PASSWORD"  # noqa: S105  # its name

logger = logging.getLogger(__name__)


class OrderFailed(Exception):
    """An order was not carried out; the text says why."""


async def take_orders(master: Master, *, path: Path) -> asyncio.Server:
    """Listen for orders to this master."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def tell(line: str) -> None:
            logger.info("%s: %s", master.spec.name, line)
            _say(writer, line)

        try:
            line = (await reader.readline()).decode(errors="replace").strip("\n")
            password, _, order = line.rpartition(" ")
            if not hmac.compare_digest(password.encode(), _password().encode()):
                _say(writer, f"{FAILED}expected the password of this stack")
                return
            _say(writer, await _carry_out(order, master=master, tell=tell, writer=writer))
            with suppress(OSError):
                await writer.drain()
        finally:
            writer.close()

    return await asyncio.start_unix_server(connected, sock=listen(f"{UNIX}{path}"))


def _password() -> str:
    return os.environ.get(PASSWORD, "")


async def _carry_out(
    order: str, *, master: Master, tell: Tell, writer: asyncio.StreamWriter
) -> str:
    if order == COUNTS:
        for name, count in master.counted().items():
            _say(writer, f"{name} {count}")
        return DONE
    if order != RESTART:
        return f"{FAILED}expected {RESTART} or {COUNTS}, got {order!r}"
    try:
        await master.replace_all(tell)
    except RestartFailed as error:
        return f"{FAILED}{error}"
    return DONE


def _say(writer: asyncio.StreamWriter, line: str) -> None:
    if not writer.is_closing():  # whoever asked may have left
        writer.write(f"{line}\n".encode())


def ordered(order: str, *, path: Path, seconds: float) -> Iterator[str]:
    """Tell the master at `path` (blocking), and yield what it says about it, line by line.

    Raises OrderFailed where it says in the end that it failed, or nothing for so long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(seconds)
        try:
            line.connect(str(path))
            line.sendall(f"{_password()} {order}\n".encode())
            with line.makefile("r", encoding="utf-8", errors="replace") as said:
                for words in map(str.rstrip, said):
                    if words == DONE:
                        return
                    if words.startswith(FAILED):
                        raise OrderFailed(words.removeprefix(FAILED))
                    yield words
        except TimeoutError:
            raise OrderFailed(f"nothing was heard of it for {seconds:g} s") from None
        except OSError as error:
            raise OrderFailed(f"{path.name}: {error.strerror or error}") from error
    raise OrderFailed("the master ended meanwhile")
