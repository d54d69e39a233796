"""Pages of other origins, in a real browser: those that an application lists may ask it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.integration.conftest import Digits
from tests.integration.stack import Stack

ASK = """async ([url, body, key]) => {
  const headers = {"Content-Type": "application/json", "X-Request-ID": "page-1"};
  if (key) headers["Authorization"] = "Api-Key " + key;
  try {
    const answer = await fetch(url, {method: "POST", headers, body: JSON.stringify(body)});
    const id = answer.headers.get("X-Request-ID");
    return {status: answer.status, id, body: await answer.json()};
  } catch (error) {
    return {error: String(error)};
  }
}"""


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a shop</title>")

    def log_message(self, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def shop(stack: Stack, origin: str) -> str:
    body = {
        "name": "shop",
        "input_type": "doubles",
        "slo_ms": 1000,
        "default_output": -1,
        "public": True,
        "allowed_origins": f"https://shop.example {origin}",
        "routes": [{"model": stack.demo["models"][0]}],
    }
    with stack.client() as client:
        created = client.post("/api/v1/applications/", json=body)
    assert created.status_code == 201, created.text
    return "shop"


def test_a_page_predicts_and_teaches(
    stack: Stack, shop: str, origin: str, digits: Digits, chromium: Browser
) -> None:
    page = chromium.new_page()
    page.goto(origin)
    at = f"{stack.url}/api/v1/applications/{shop}"
    answer = page.evaluate(ASK, [f"{at}/predict", {"input": digits[0][0]}, None])
    assert (answer["status"], answer["id"]) == (200, "page-1"), answer
    told = {"query_id": answer["body"]["query_id"], "label": digits[1][0]}
    taken = page.evaluate(ASK, [f"{at}/feedback", told, None])
    assert taken["body"]["accepted"] == 1, taken
    wrong = page.evaluate(ASK, [f"{at}/predict", {"input": "no numbers"}, None])
    assert (wrong["status"], wrong["body"]["code"]) == (400, "invalid_input"), wrong
    page.close()


@pytest.mark.parametrize("path", ["digits/predict", "nobody/predict"])
@pytest.mark.usefixtures("shop")
def test_a_page_may_not_ask_what_does_not_list_it(
    stack: Stack, origin: str, digits: Digits, chromium: Browser, path: str
) -> None:
    page = chromium.new_page()
    page.goto(origin)
    key = stack.demo["api_key"]
    url = f"{stack.url}/api/v1/applications/{path}"
    answer = page.evaluate(ASK, [url, {"input": digits[0][0]}, key])
    assert "Failed to fetch" in answer["error"], answer
    page.close()


def test_who_does_not_ask_from_a_page_is_told_nothing_of_it(
    stack: Stack, shop: str, digits: Digits
) -> None:
    path = f"/api/v1/applications/{shop}/predict"
    with stack.client() as client:
        plain = client.post(path, json={"input": digits[0][0]})
        other = client.post(
            path, json={"input": digits[0][0]}, headers={"Origin": "https://evil.example"}
        )
        before = client.options(
            path,
            headers={
                "Origin": "https://shop.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            },
        )
    assert (plain.status_code, other.status_code, before.status_code) == (200, 200, 204)
    told = [name for name in plain.headers if name.startswith("access-control") or name == "vary"]
    assert told == []
    assert "access-control-allow-origin" not in other.headers
    assert other.headers["vary"] == "Origin"
    assert before.headers["access-control-allow-origin"] == "https://shop.example"
    assert before.headers["access-control-allow-methods"] == "POST"
