"""Inheritance of a master's processes: sockets by name, and a line to the master.

Over the line a process says that it is `ready`, or what it `failed` of; the master tells it to
`retire` where another one has taken its place. Whose master is gone retires too.
"""

import os
import socket
from contextlib import suppress

SOCKETS = "CLIPPER_MASTER_SOCKETS"
LINE = "CLIPPER_MASTER_LINE"
REPLACES = "CLIPPER_MASTER_REPLACES"

READY = b"ready\n"
FAILED = b"failed "
RETIRE = b"retire\n"


class Inherited:
    """This process's share, taken out of its environment: no child of its own shall believe it."""

    def __init__(self) -> None:
        named = (part.partition("=") for part in os.environ.pop(SOCKETS).split(",") if part)
        self.sockets = {name: socket.socket(fileno=int(number)) for name, _, number in named}
        self.line = socket.socket(fileno=int(os.environ.pop(LINE)))
        # Another process does this one's work until it is ready.
        self.replaces = bool(os.environ.pop(REPLACES, ""))
        for each in (*self.sockets.values(), self.line):
            each.set_inheritable(False)
        self.line.setblocking(False)

    def ready(self) -> None:
        self._say(READY)

    def failed(self, why: str) -> None:
        """Say what is in the way, in one line."""
        words = " ".join(why.split())[:1000]
        self._say(b"%b%b\n" % (FAILED, words.encode(errors="replace")))

    def must_retire(self) -> bool:
        """Read the master's messages; return whether this process has to retire."""
        try:
            return self.line.recv(1024) in (b"", RETIRE)
        except BlockingIOError:
            return False
        except OSError:  # there is no master any more
            return True

    def _say(self, words: bytes) -> None:
        with suppress(OSError):  # nobody there to know
            self.line.send(words)
