"""Where web processes dial a replica: one address, as long as it is open."""

from __future__ import annotations

from serving.rpc.connection import Listener, NewProtocol, accept, remove_socket
from serving.rpc.forks import forget, keep_from_forks
from serving.rpc.hello import Hello
from serving.rpc.listening import TcpListen


class Reception:
    """Listens as the replica that says this HELLO.

    `address` is a Unix socket; with `listen` it is TCP instead, where peers have to authenticate.
    """

    def __init__(self, *, hello: Hello, address: str, listen: TcpListen | None) -> None:
        self._authentication = listen.credentials.of(hello) if listen else None
        self._listen = listen
        self._address = listen.bound_address if listen else address
        self._listener: Listener | None = None

    @property
    def address(self) -> str:
        """Where it can be dialled once it is open."""
        return self._address

    async def open(self, new_protocol: NewProtocol) -> None:
        """Make a protocol for each peer; raises OSError when the address is taken."""
        self._listener = await accept(
            self._address,
            new_protocol=new_protocol,
            authentication=self._authentication,
            ports=self._listen.ports if self._listen else None,
        )
        for bound in self._listener.sockets:
            keep_from_forks(bound.fileno())
        if self._listen is not None:
            port = self._listener.sockets[0].getsockname()[1]
            self._address = self._listen.advertised_address(port)

    def close(self) -> None:
        """Let nobody in any more; who is there stays."""
        if self._listener is None:
            return
        for bound in self._listener.sockets:
            forget(bound.fileno())
        self._listener.close()
        self._listener = None
        remove_socket(self._address)
