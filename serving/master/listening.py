"""The sockets that a master listens on for its processes, which take connections from them."""

import errno
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

# As many wait to be accepted; a process that comes up takes them all at once.
BACKLOG = 4096
UNIX = "unix:"
# Whoever started the master listens already, and goes on when the master dies.
INHERITED = "fd:"


def listen(address: str) -> socket.socket:
    """Listen on `HOST:PORT`, `unix:PATH` or `fd:NUMBER`; raises OSError where that can't be."""
    if address.startswith(INHERITED):
        inherited = socket.socket(fileno=int(address.removeprefix(INHERITED)))
        inherited.set_inheritable(False)
        # The master before this one may have stopped.
        inherited.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        inherited.listen(BACKLOG)
        return inherited
    if address.startswith(UNIX):
        return _listen_on_unix(Path(address.removeprefix(UNIX)))
    host, _, port = address.rpartition(":")
    return _listen_on_tcp(host.strip("[]"), port=int(port))


def stop_listening(listening: socket.socket) -> None:
    """Have new connections refused, also where others hold the socket: its port stays theirs."""
    with suppress(OSError):
        if listening.family != socket.AF_UNIX:
            # With it anybody could bind a port that nobody listens on.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            listening.shutdown(socket.SHUT_RD)
    listening.close()


def _listen_on_tcp(host: str, *, port: int) -> socket.socket:
    family, _, _, _, place = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    # Processes of a master that was killed listen until they have noticed.
    until = time.monotonic() + 10.0
    while True:
        try:
            return socket.create_server(place, family=family, backlog=BACKLOG, dualstack_ipv6=dual)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _listen_on_unix(path: Path) -> socket.socket:
    with suppress(FileNotFoundError):
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # others of this machine may not connect
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)
    listening.listen(BACKLOG)
    return listening
