"""A real HTTP server that answers as a test planned it, and keeps what it was sent."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Planned(NamedTuple):
    """One answer, `after_s`; with `hang_up` the connection is closed instead."""

    status: int = 200
    body: bytes = b'{"output": 1, "query_id": "q"}'
    headers: dict[str, str] = {}
    hang_up: bool = False
    after_s: float = 0.0


class BusyServer(ThreadingHTTPServer):
    """Gives the planned answers one after the other, the last one for ever."""

    daemon_threads = True

    def __init__(self, *plan: Planned) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plan = list(plan)
        self.seen: list[str] = []
        self.bodies: list[int] = []
        self.small_bodies: list[bytes] = []
        self.connections: set[Any] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next(self) -> Planned:
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BusyServer

    def do_POST(self) -> None:
        self.server.connections.add(self.client_address)
        self.server.seen.append(f"{self.command} {self.path}")
        self._read()
        planned = self.server.next()
        time.sleep(planned.after_s)
        if planned.hang_up:
            self.close_connection = True
            return
        self.send_response(planned.status)
        for name, value in planned.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(planned.body)))
        self.end_headers()
        self.wfile.write(planned.body)

    def do_GET(self) -> None:
        self.do_POST()

    def _read(self) -> None:
        left = length = int(self.headers.get("Content-Length", 0))
        piece = b""
        while left:
            piece = self.rfile.read(min(left, 1 << 20))
            left -= len(piece)
        self.server.bodies.append(length)
        if length == len(piece):
            self.server.small_bodies.append(piece)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test says what matters."""


@contextmanager
def serving(*plan: Planned) -> Iterator[BusyServer]:
    server = BusyServer(*plan)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
