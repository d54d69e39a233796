"""A real HTTP server that answers as a test has it: in order, late, broken or not at all."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request as the server had it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Said(NamedTuple):
    """The server's answer to one request."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = ()


Answering = Callable[[Asked], Said]


def as_json(value: Any, *, status: int = 200, **headers: str) -> Said:
    given = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Said(status, json.dumps(value).encode(), given)


def sums(asked: Asked) -> Said:
    """Answer each of `instances` with its sum."""
    return as_json({"predictions": [sum(row) for row in asked.json["instances"]]})


class StandIn:
    """Answers by one function; `asked` has the requests in order, `connections` counts."""

    def __init__(
        self, answering: Answering, *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.answering = answering
        self.asked: list[Asked] = []
        self.connections = 0
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._tls = tls
        self.port = port
        self.start()

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str = "/", *, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def stop(self) -> None:
        """As a process that ends: nobody listens any more, and what is open breaks off."""
        self._server.shutdown()
        self._server.server_close()
        self.cut_all()

    def cut_all(self) -> None:
        with self._lock:
            opened, self._open = self._open, set()
        for connection in opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def answer(self, asked: Asked) -> Said:
        with self._lock:
            self.asked.append(asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.answering(asked)
        finally:
            with self._lock:
                self.at_once -= 1

    def note_open(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self._open.add(connection)

    def note_closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)


@contextmanager
def standing_in(answering: Answering, **how: Any) -> Iterator[StandIn]:
    server = StandIn(answering, **how)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does as it likes with each connection's bytes; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_talk, args=(talk, peer), daemon=True).start()

    accepting = threading.Thread(target=serve, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # To close it alone would leave the thread waiting for good.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()


def _talk(talk: Callable[[socket.socket], None], peer: socket.socket) -> None:
    with peer, suppress(OSError):
        talk(peer)


def read_request(peer: socket.socket) -> bytes:
    """One request with its body, whose length is announced."""
    text = b""
    while b"\r\n\r\n" not in text:
        if not (more := peer.recv(65536)):
            return text
        text += more
    head, _, body = text.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")),
        0,
    )
    while len(body) < length and (more := peer.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left, or was cut off."""


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            server.note_open(self.connection)

        def finish(self) -> None:
            server.note_closed(self.connection)
            super().finish()

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            port = int(self.client_address[1])
            said = server.answer(Asked(self.command, self.path, headers, body, port))
            self.send_response(said.status)
            for name, value in said.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        do_GET = do_POST = _respond  # noqa: N815  (what http.server calls)

        def log_message(self, *args: Any) -> None:
            """Tests look at what was asked."""

    return Handler
