"""Uploads that break off, that meet another, and artifacts that are changed where they lie."""

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import httpx
import pytest

from clipper_client import Client
from tests.clients.refusals.artifacts import python
from tests.integration.stack import Stack, eventually

MODEL = "odd"
CONTENT = b"class Predictor: pass\n" * 4096


@pytest.fixture(scope="module")
def model(client: Client) -> Iterator[str]:
    client.request("POST", "models/", {"name": MODEL, "input_type": "doubles"})
    yield MODEL
    client.request("DELETE", f"models/{MODEL}")


@contextmanager
def manager(stack: Stack, key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Api-Key {key}"}
    with httpx.Client(base_url=f"{stack.url}/api/v1/models/{MODEL}/", headers=headers) as made:
        yield made


def upload(there: httpx.Client, *, version: str, content: bytes = CONTENT) -> httpx.Response:
    return there.post(
        "versions/",
        data={"version": version, "runtime": "python"},
        files={"artifact": ("predictor.py", content)},
    )


def arriving(stack: Stack) -> list[Path]:
    return list((stack.var / "artifacts").glob(".incoming-*"))


def test_one_that_breaks_off_leaves_nothing_and_is_sent_again(
    stack: Stack, key: str, model: str
) -> None:
    with manager(stack, key) as there:
        request = there.build_request(
            "POST",
            "versions/",
            data={"version": "cut", "runtime": "python"},
            files={"artifact": ("predictor.py", CONTENT)},
        )
        body = b"".join(request.stream)  # type: ignore[arg-type]  # a multipart form is no coroutine
        head = f"POST {request.url.path} HTTP/1.1\r\n".encode()
        head += b"".join(b"%s: %s\r\n" % pair for pair in request.headers.raw)
        with socket.create_connection(("127.0.0.1", stack.port)) as connection:
            connection.sendall(head + b"\r\n" + body[: len(body) // 2])
            eventually(lambda: arriving(stack), seconds=90, what="it arrives")
        eventually(lambda: not arriving(stack), seconds=90, what="nothing is left of it")
        assert there.get("versions/cut").status_code == 404
        assert upload(there, version="cut").status_code == 201


def test_of_two_of_the_same_name_one_is_taken_as_a_whole(
    stack: Stack, key: str, model: str
) -> None:
    contents = [CONTENT + b"# first\n", CONTENT + b"# second\n"]
    together = Barrier(2)

    def send(content: bytes) -> httpx.Response:
        with manager(stack, key) as there:
            together.wait()
            return upload(there, version="twice", content=content)

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(send, contents))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    taken = [answer.status_code == 201 for answer in answers]
    folder = stack.var / "artifacts"
    assert [(folder / one[:2] / one).is_file() for one in digests] == taken
    eventually(lambda: not arriving(stack), seconds=90, what="nothing is left of the other one")


def test_an_artifact_that_is_changed_after_its_check_is_never_loaded(
    stack: Stack, key: str, client: Client, model: str, tmp_path: Path
) -> None:
    content = python(tmp_path).read_bytes()
    digest, changed = hashlib.sha256(content).hexdigest(), content.replace(b"0.5", b"0.6")
    with manager(stack, key) as there:
        assert upload(there, version="sound", content=content).status_code == 201
    path = f"models/{MODEL}/versions/sound"
    eventually(
        lambda: client.request("GET", path)["check"]["state"] == "passed",
        seconds=180,
        what="its check has passed, before anybody deploys it",
    )
    kept = stack.var / "artifacts" / digest[:2] / digest
    kept.chmod(0o600)
    kept.write_bytes(changed)
    release = client.request("POST", f"{path}/deploy", {}, params={"wait": "60"})
    assert release["state"] == "failed"
    got = hashlib.sha256(changed).hexdigest()
    assert release["error"].startswith(f"expected an artifact with sha256 {digest}, got {got}: ")
    (error,) = client.request("GET", f"{path}/errors")
    assert (error["error"], error["phase"]) == (release["error"], "load")
