"""Looks a name up within a bounded time, for who can't wait as long as resolvers do."""

from __future__ import annotations

import socket
import threading

from serving.container.remote.hosts import Address, address_of

LOOKED_UP_WITHIN_S = 3.0


def addresses_of(host: str, *, port: int, within_s: float = LOOKED_UP_WITHIN_S) -> list[Address]:
    """Where a name leads now; nothing where it can't be told in time. An address is itself."""
    literal = address_of(host)
    if literal is not None:
        return [literal]
    found: list[Address] = []

    def look_up() -> None:
        try:
            told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        addresses = (address_of(str(sockaddr[0])) for *_, sockaddr in told)
        found.extend(address for address in dict.fromkeys(addresses) if address is not None)

    # The resolver's own limits are far longer, and it can't be interrupted.
    thread = threading.Thread(target=look_up, name="resolving", daemon=True)
    thread.start()
    thread.join(within_s)
    return list(found)
