"""The demo as the launcher shows it, against a web process that answers from a list."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sklearn.datasets import load_digits

from clipper_site.stack import demo
from clipper_site.stack.layout import Layout, layout_of, make_folders, remove_run_dir

ANSWER = {"default": False, "output": 4, "confidence": 0.8, "models": {"svm:1": 4}}
KNOWN = {
    "url": "http://127.0.0.1:1",
    "api_key": "key",
    "admin_user": "admin",
    "admin_password": "p",
}


class FakeWeb(HTTPServer):
    """Answers every question alike and keeps what it was asked."""

    status = 200
    answer: dict[str, Any] = ANSWER

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeRequest)
        self.asked: list[tuple[str, str | None, Any]] = []


class FakeRequest(BaseHTTPRequestHandler):
    server: FakeWeb

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer | {"latency_ms": 2.0}).encode())

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def layout(web: FakeWeb, tmp_path: Path) -> Iterator[Layout]:
    layout = layout_of(tmp_path, port=web.server_port)
    make_folders(layout)
    layout.demo.write_text(json.dumps(KNOWN))
    yield layout
    remove_run_dir(layout)


def test_the_scans_are_those_of_scikit_learn() -> None:
    digits = load_digits()

    for position, scan in zip(demo.QUESTIONS, demo.scans(demo.QUESTIONS), strict=True):
        assert scan.pixels == digits.data[position].tolist()
        assert scan.digit == digits.target[position]


def test_questions_carry_the_key_and_print_the_answers(
    layout: Layout, web: FakeWeb, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.ask_questions(layout)
    printed = capsys.readouterr().out

    assert len(web.asked) == len(demo.QUESTIONS)
    assert {(path, key) for path, key, _ in web.asked} == {
        ("/api/v1/applications/digits/predict", "Api-Key key")
    }
    assert "4, 80% sure" in printed
    assert "(right)" in printed


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (404, {"error": "There is no application named 'digits'.", "code": "not_found"}),
        (401, {"error": "This API key is unknown, revoked or expired.", "code": "unauthenticated"}),
    ],
)
def test_a_demo_that_is_gone_is_said_in_one_line_and_stops_nothing(
    status: int,
    answer: dict[str, Any],
    layout: Layout,
    web: FakeWeb,
    capsys: pytest.CaptureFixture[str],
) -> None:
    web.status, web.answer = status, answer
    demo.ask_questions(layout)

    assert len(web.asked) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"The demo application 'digits' isn't there as it was: {answer['error']}"
    ]


def test_a_demo_that_was_never_made_stops_nothing(
    layout: Layout, web: FakeWeb, capsys: pytest.CaptureFixture[str]
) -> None:
    layout.demo.write_text("{")

    assert not demo.seed_once(layout, environment={})
    demo.ask_questions(layout)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(str(layout.demo) in line for line in lines)
    assert web.asked == []


def test_a_later_start_keeps_all_but_the_url(layout: Layout) -> None:
    assert demo.seed_once(layout, environment={})

    assert json.loads(layout.demo.read_text()) == KNOWN | {"url": layout.url}
    assert layout.demo.stat().st_mode & 0o777 == 0o600
