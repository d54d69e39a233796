"""A web process that answers from a list."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from clipper_site.stack.layout import Layout, layout_of


@contextmanager
def web_process(
    *answers: tuple[int, Mapping[str, object]], var: Path, asked: list[Any] | None = None
) -> Iterator[Layout]:
    """Answer one after another, the last one again and again; note what is posted in `asked`."""
    left = list(answers)

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if asked is not None:
                asked.append((self.path, self.headers["Authorization"], body))
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield layout_of(var, port=server.server_port)
        finally:
            server.shutdown()
            thread.join()
