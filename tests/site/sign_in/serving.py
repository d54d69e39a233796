"""A WSGI application as a process that serves on a port."""

from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(application: Callable[..., Any], *, port: int) -> None:
    with make_server("127.0.0.1", port, application, _Threads, _Quiet) as server:
        server.serve_forever()
