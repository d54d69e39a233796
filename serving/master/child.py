"""One process of a master: executed, not forked, with what it inherits; and how it fares."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from serving.container.child.kill import set_parent_death_signal
from serving.master import inherited

# By its name: an upgrade may put another folder in its place.
FOLDER = Path.cwd()


class NeverReady(Exception):
    """A process that can't take up its work; the text says why."""


class Child:
    """A process from its start to its end, both of which can be waited for.

    Its master dying ends it: by SIGTERM, which lets it answer what it has been asked.
    """

    def __init__(
        self, command: Sequence[str], *, sockets: Mapping[str, socket.socket], replaces: bool
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._line, theirs = socket.socketpair()
        named = (f"{name}={listening.fileno()}" for name, listening in sockets.items())
        environment = {
            **os.environ,
            inherited.SOCKETS: ",".join(named),
            inherited.LINE: str(theirs.fileno()),
            inherited.REPLACES: "yes" if replaces else "",
        }
        self._process = subprocess.Popen(
            command,
            cwd=FOLDER,
            env=environment,
            pass_fds=[theirs.fileno(), *(each.fileno() for each in sockets.values())],
            preexec_fn=_dying_with(os.getpid()),
        )
        theirs.close()
        self._line.setblocking(False)
        self.started_at = monotonic()
        self.pid = self._process.pid
        self.is_ready = False
        self._said = b""
        self._why = ""
        # It is ready, or has ended before it was.
        self._known = self._loop.create_future()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._line, self._read)

    async def until_ready(self, *, seconds: float) -> None:
        """Wait until it is ready; raises NeverReady where it ends before, or takes too long."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._known)
        except TimeoutError:
            raise NeverReady(f"process {self.pid} was not ready within {seconds:g} s") from None
        if not self.is_ready:
            raise NeverReady(f"process {self.pid} {self.ending()} before it was ready")

    def ending(self) -> str:
        """Return how it ended, and why if it has said so."""
        status = self._process.returncode
        if status is None:
            return "runs"
        how = f"ended with status {status}"
        if status < 0:
            how = f"was ended by signal {-status} ({signal.strsignal(-status)})"
        return f"{how} ({self._why})" if self._why else how

    def retire(self) -> None:
        """Have it answer what it has been asked, and end; another one is there."""
        try:
            self._line.send(inherited.RETIRE)
        except OSError:
            self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def until_ended(self, *, seconds: float) -> bool:
        """Wait for its end; where that takes too long, bring it about. Tell whether it was so."""
        done, _ = await asyncio.wait([self.ended], timeout=seconds)
        if not done:
            self.signal(signal.SIGKILL)
            await asyncio.wait([self.ended])
        return bool(done)

    def reap(self) -> bool:
        """Look whether it has ended; tell whether that is news."""
        status = self._process.poll()
        if status is None or self.ended.done():
            return False
        self._read()
        self._loop.remove_reader(self._line)
        self._line.close()
        self.ended.set_result(status)
        if not self._known.done():
            self._known.set_result(None)
        return True

    def _read(self) -> None:
        try:
            said = self._line.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._loop.remove_reader(self._line)
        *lines, self._said = (self._said + said).split(b"\n")
        for line in lines:
            if line + b"\n" == inherited.READY and not self._known.done():
                self.is_ready = True
                self._known.set_result(None)
            elif line.startswith(inherited.FAILED):
                self._why = line.removeprefix(inherited.FAILED).decode(errors="replace").strip()


def _dying_with(master: int) -> Callable[[], None]:
    def tie() -> None:
        set_parent_death_signal(signal.SIGTERM)
        if os.getppid() != master:  # it died in between
            os._exit(1)

    return tie
