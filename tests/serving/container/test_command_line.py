"""``check`` tells in one line whether a version can be served; ``serve`` serves and drains."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import skops.io

from serving.rpc.errors import ConnectionLost
from serving.rpc.frames.codec import AnswerStatus, FrameType
from tests.serving.container.artifacts import WHERE, save
from tests.serving.container.server.test_server import LIMIT, Web

ROOT = Path(__file__).parents[3]


def arguments(command: str, *, runtime: str, content: bytes | str, at: Path) -> list[str]:
    saved = save(content, at=at)
    return [
        *(sys.executable, "-m", "serving.container", command, "--runtime", runtime),
        *("--artifact", str(saved["artifact"]), "--sha256", saved["sha256"]),
        *("--input-type", "doubles"),
    ]


def check(runtime: str, content: bytes | str, *, at: Path) -> tuple[int, dict[str, Any]]:
    """Run check in a process of its own; return its exit status and its only line."""
    command = arguments("check", runtime=runtime, content=content, at=at)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=150, check=False)
    (line,) = done.stdout.splitlines()
    return done.returncode, json.loads(line)


def test_a_good_version_passes(svm: Any, artifact_file: Path) -> None:
    status, line = check("sklearn", skops.io.dumps(svm), at=artifact_file)
    assert (status, line["ok"], line["n_features"]) == (0, True, 64)
    assert line["load_ms"] > 0
    assert line["warm_ms"] > 0


def test_what_the_model_prints_is_kept_apart(artifact_file: Path) -> None:
    source = "import os\nprint('hello')\nos.system('echo from a child')\n" + WHERE
    status, line = check("python", source, at=artifact_file)
    assert (status, line["ok"], line["n_features"]) == (0, True, None)


@pytest.mark.parametrize(
    ("runtime", "content", "kind", "message"),
    [
        ("python", "1 / 0", "load_failed", "ZeroDivisionError: division by zero"),
        ("sklearn", b"\x80\x04N.", "pickle_refused", "upload it with allow_pickle=true"),
        ("fortran", "", "unknown_runtime", "expected a runtime out of sklearn, "),
        (
            "python",
            WHERE + "\n    def warm_up(self):\n        raise SystemExit(0)\n",
            "warm_up_failed",
            "SystemExit: 0",
        ),
    ],
)
def test_a_bad_version_fails_with_the_reason(
    runtime: str, content: bytes | str, kind: str, message: str, artifact_file: Path
) -> None:
    status, line = check(runtime, content, at=artifact_file)
    assert (status, line["ok"], line["kind"]) == (1, False, kind)
    assert message in line["error"]


def test_a_bad_version_says_where_in_its_own_code(artifact_file: Path) -> None:
    source = "def half(n):\n    return n / 0\n\nhalf(1)\n"

    _, line = check("python", source, at=artifact_file)

    assert line["traceback"].splitlines() == [
        "Traceback (most recent call last):",
        '  File "predictor.py", line 4, in <module>',
        "    half(1)",
        '  File "predictor.py", line 2, in half',
        "    return n / 0",
        "ZeroDivisionError: division by zero",
    ]


async def test_serve_answers_and_drains_on_sigterm(
    svm: Any, rows: list[bytes], artifact_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    socket = tmp_path_factory.mktemp("s") / "r.sock"
    command = arguments("serve", runtime="sklearn", content=skops.io.dumps(svm), at=artifact_file)
    command += ["--address", f"unix:{socket}", "--name", "svm", "--version", "1"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(40):
            assert process.stdout is not None
            line = json.loads(await process.stdout.readline())
            assert line == {
                "ok": True,
                "address": f"unix:{socket}",
                "replica": f"svm-1-{process.pid}",
                "pid": process.pid,
            }
            web = await Web.dial(line["address"], hello=None)
            assert await web.ask(rows[0]) == [(AnswerStatus.OK, b"0")]
            process.send_signal(signal.SIGTERM)
            await web.next(FrameType.DRAIN)
            assert await web.ask(rows[0]) == [(AnswerStatus.OK, b"0")]
            web.connection.close()
            assert await asyncio.wait_for(process.wait(), LIMIT) == 0
            assert not socket.exists()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


# A panic of Rust code derives from no Exception either.
RAISES_ANYTHING = """
import asyncio, sys

class Panic(BaseException): pass

RAISES = {1: SystemExit, 2: KeyboardInterrupt, 3: asyncio.CancelledError, 4: GeneratorExit}
RAISES[5] = Panic

class Predictor:
    def __init__(self, path): pass
    def pred_batch(self, inputs):
        for row in inputs:
            if row[0] in RAISES:
                raise RAISES[row[0]]
        return [row[0] for row in inputs]
"""


async def test_whatever_a_model_raises_its_batch_is_answered_and_signals_still_stop_it(
    artifact_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    socket = tmp_path_factory.mktemp("s") / "r.sock"
    command = arguments("serve", runtime="python", content=RAISES_ANYTHING, at=artifact_file)
    command += ["--address", f"unix:{socket}", "--name", "any", "--version", "1"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 40))
        web = await Web.dial(line["address"], hello=None)
        names = (b"SystemExit", b"KeyboardInterrupt", b"CancelledError", b"GeneratorExit", b"Panic")
        for number, name in enumerate(names, start=1):
            answers = await web.ask(b"[7]", b"[%d]" % number, b"[8]")
            assert answers[1] == (AnswerStatus.MODEL_FAILED, name)
            assert [answers[0].payload, answers[2].payload] == [b"7.0", b"8.0"]
        process.send_signal(signal.SIGINT)
        await web.next(FrameType.DRAIN)
        web.connection.close()
        assert await asyncio.wait_for(process.wait(), LIMIT) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_model_that_is_still_loading(
    number: signal.Signals, artifact_file: Path
) -> None:
    source = "import sys, time\nsys.stderr.write('loading')\nsys.stderr.flush()\ntime.sleep(60)\n"
    command = arguments("check", runtime="python", content=source, at=artifact_file)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    assert await asyncio.wait_for(process.stderr.readexactly(7), 40) == b"loading"
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), LIMIT) != 0


# The first number says how the fork goes on: it sleeps, or comes back like the one that forked it.
FORKS = """
import os, time

class Predictor:
    def __init__(self, path): pass
    def pred_batch(self, inputs):
        (row,) = inputs
        if row[0] and os.fork() == 0 and row[0] == 1:
            time.sleep(300)
            os._exit(0)
        return [os.getpid()]
"""


def alive_below(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if lives(child)]


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_end_of_a_model_that_has_forked_is_seen_at_once(
    artifact_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    socket = tmp_path_factory.mktemp("s") / "r.sock"
    command = arguments("serve", runtime="python", content=FORKS, at=artifact_file)
    command += ["--address", f"unix:{socket}", "--name", "forks", "--version", "1"]
    # Not asyncio's: that waits for the pipe's other ends too, one of which a fork holds.
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    with process.stdout:
        line = json.loads(await asyncio.to_thread(process.stdout.readline))
    web = await Web.dial(line["address"], hello=None)
    own = (AnswerStatus.OK, str(process.pid).encode())
    try:
        assert await web.ask(b"[2]") == [own]
        assert await web.ask(b"[0]", request_id=2) == [own]
        assert await web.ask(b"[1]", request_id=3) == [own]
        async with asyncio.timeout(60):
            # The fork of the first question ends by itself, once it finds out that it is one.
            while len(forks := alive_below(process.pid)) != 1:
                await asyncio.sleep(0.01)
        (sleeping,) = forks
    finally:
        process.kill()
        process.wait()
    try:
        await web.ended()
        assert sleeping.is_running()
        with pytest.raises(ConnectionLost):
            await Web.dial(line["address"], hello=None)
    finally:
        sleeping.kill()
