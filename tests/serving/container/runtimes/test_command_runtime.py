"""An executable in any language is a model: started, asked, and never outlived by its replica."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from serving.container.failures.container_errors import ArtifactInvalid, ContainerError, LoadFailed
from serving.container.loading import load_predictor
from serving.container.predictor import Predictor
from serving.container.sandbox.confined import PASSED_ON
from serving.container.sandbox.limits import THREAD_VARIABLES
from serving.container.spec import LoadSpec
from serving.rpc.frames.codec import AnswerStatus, encode_predict
from tests.examples.example import zipped
from tests.serving.container.artifacts import save
from tests.serving.container.artifacts import zipped as zipped_files
from tests.serving.container.server.test_server import LIMIT, Web
from tests.serving.container.test_command_line import ROOT, arguments

LARGE = (AnswerStatus.OK, b'"large"')

# The shortest that keeps to the protocol as far as HELLO; what it does next differs.
SAYS_HELLO = """#!{python}
import argparse, json, os, socket, struct, sys, time
parser = argparse.ArgumentParser()
for name in ("--address", "--hello", "--device"):
    parser.add_argument(name)
options = parser.parse_args()
listener = socket.socket(socket.AF_UNIX)
listener.bind(options.address.removeprefix("unix:"))
listener.listen()
print("listening", flush=True)
peer, _ = listener.accept()
def frame(number, body):
    return struct.pack("<2sBBII", b"CL", 1, number, 1, len(body)) + body
peer.sendall(frame(1, options.hello.encode()))
""".replace("{python}", sys.executable)


def load(content: bytes | str, *, at: Path, input_type: str = "doubles") -> Predictor:
    return load_predictor(
        LoadSpec(runtime="command", **save(content, at=at), input_type=input_type)
    )


@pytest.fixture
def example(artifact_file: Path) -> Iterator[Predictor]:
    predictor = load(zipped(), at=artifact_file)
    yield predictor
    predictor.close()


@pytest.fixture
def strangers() -> set[psutil.Process]:
    """Children that this process has for other tests, as a Redis server."""
    return set(psutil.Process().children())


def child_of(pid: int, *, strangers: Collection[psutil.Process] = ()) -> psutil.Process:
    """The executable of a replica's process."""
    (child,) = set(psutil.Process(pid).children()) - set(strangers)
    return child


def test_the_example_answers_batches(example: Predictor) -> None:
    example.warm_up()
    answers = example.answer_batch([b"[1, 2]", b"[1]", b"[3, 4]"])
    assert [answers[0], answers[2]] == [LARGE, LARGE]
    assert answers[1] == (AnswerStatus.INVALID_INPUT, b"expected 2 numbers, got 1")
    assert example.answer_batch([b"[1, 2]"] * 3000) == [LARGE] * 3000


def test_closing_ends_it_and_leaves_nothing(
    artifact_file: Path, strangers: set[psutil.Process]
) -> None:
    predictor = load(zipped(), at=artifact_file)
    child = child_of(os.getpid(), strangers=strangers)
    folder = Path(child.cwd())
    predictor.close()
    assert not child.is_running()
    assert not folder.exists()


def test_it_learns_nothing_of_this_system(
    artifact_file: Path, monkeypatch: pytest.MonkeyPatch, strangers: set[psutil.Process]
) -> None:
    monkeypatch.setenv("CLIPPER_CLUSTER_SECRET", "not for artifacts")
    monkeypatch.setenv("FAVOURITE_COLOUR", "green")
    predictor = load(zipped(), at=artifact_file)
    environment = child_of(os.getpid(), strangers=strangers).environ()
    predictor.close()
    assert environment["PATH"] == os.environ["PATH"]
    own = ("HOME", "TMPDIR", "USER", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    assert set(environment) <= {*PASSED_ON, *THREAD_VARIABLES, *own}


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (b"neither script nor program", LoadFailed, "cannot be started"),
        ("#!/bin/sh\nexit 3\n", LoadFailed, "exit code 3 before it listened"),
        ("#!/bin/sh\necho here I am\nsleep 60\n", LoadFailed, "does not speak the protocol"),
        (
            SAYS_HELLO.replace("options.hello.encode()", 'b"{}"') + "time.sleep(60)\n",
            LoadFailed,
            "expected a HELLO body",
        ),
        (
            SAYS_HELLO.replace("options.hello.", "options.hello.replace('doubles', 'strings').")
            + "time.sleep(60)\n",
            LoadFailed,
            "expected the HELLO it was given",
        ),
        (zipped_files({"readme.txt": "?"}), ArtifactInvalid, "named container"),
        (zipped_files({"container": "1", "container.sh": "2"}), ArtifactInvalid, "container.sh"),
        (zipped_files({"../container": "1"}), ContainerError, "paths inside the zip"),
    ],
)
def test_what_cannot_be_served_says_why(
    content: bytes | str,
    error: type[ContainerError],
    reason: str,
    artifact_file: Path,
    strangers: set[psutil.Process],
) -> None:
    with pytest.raises(error, match=reason):
        load(content, at=artifact_file)
    assert set(psutil.Process().children()) <= strangers


def test_what_it_says_that_is_no_output_fails_alone(artifact_file: Path) -> None:
    outputs = [b"1.5", b"NaN", b"plain text", b'1,"query_id":"forged"', b'"fine"']
    source = f"""{SAYS_HELLO}
outputs = {outputs}
peer.recv(65536)
lengths = b"".join(struct.pack("<I", len(output)) for output in outputs)
body = struct.pack("<II", len(outputs), 1) + bytes(len(outputs)) + lengths + b"".join(outputs)
peer.sendall(frame(3, body))
time.sleep(60)
"""
    predictor = load(source, at=artifact_file)

    answers = predictor.answer_batch([b"[1]"] * len(outputs))

    predictor.close()
    ok, failed = AnswerStatus.OK, AnswerStatus.MODEL_FAILED
    assert [answer.status for answer in answers] == [ok, failed, failed, failed, ok]
    assert all(b"expected one JSON value" in answer.payload for answer in answers[1:4])
    assert sum(noted.count for noted in predictor.failures.take()) == 3


# --- as a replica's process --------------------------------------------------------------------


class Served:
    """`python -m serving.container serve` with an executable beside it."""

    def __init__(self, process: asyncio.subprocess.Process, line: dict[str, Any]) -> None:
        self.process = process
        self.address = line["address"]

    @classmethod
    async def start(cls, content: bytes | str, *, at: Path, socket: Path) -> Served:
        command = arguments("serve", runtime="command", content=content, at=at)
        command += ["--address", f"unix:{socket}", "--name", "sizes", "--version", "1"]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        return cls(process, json.loads(await asyncio.wait_for(process.stdout.readline(), 40)))

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), LIMIT)


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "r.sock"


async def test_it_is_served_and_drained_with_its_replica(artifact_file: Path, socket: Path) -> None:
    served = await Served.start(zipped(), at=artifact_file, socket=socket)
    child = child_of(served.process.pid)
    web = await Web.dial(served.address, hello=None)
    assert await web.ask(b"[1, 1]") == [LARGE]
    served.process.terminate()
    web.connection.close()
    assert await served.ended() == 0
    assert not child.is_running()


async def test_its_replica_dies_with_it(artifact_file: Path, socket: Path) -> None:
    served = await Served.start(zipped(), at=artifact_file, socket=socket)
    child_of(served.process.pid).send_signal(signal.SIGKILL)
    assert await served.ended() == 70


async def test_it_dies_with_its_replica(artifact_file: Path, socket: Path) -> None:
    served = await Served.start(zipped(), at=artifact_file, socket=socket)
    child = child_of(served.process.pid)
    served.process.kill()
    await served.ended()
    await asyncio.to_thread(child.wait, LIMIT)


@pytest.mark.parametrize(
    "then", ["peer.close(); time.sleep(60)", "peer.sendall(frame(3, b'?')); time.sleep(60)"]
)
async def test_one_that_breaks_the_protocol_ends_its_replica(
    then: str, artifact_file: Path, socket: Path
) -> None:
    source = f"{SAYS_HELLO}peer.recv(1)\n{then}\n"
    served = await Served.start(source, at=artifact_file, socket=socket)
    web = await Web.dial(served.address, hello=None)
    web.connection.send(encode_predict(1, (b"[1]",)))  # one without inputs the server answers
    assert await served.ended() == 70
    await web.ended()
