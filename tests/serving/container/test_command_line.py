"""``check`` tells in one line whether a version can be served; ``serve`` serves and drains."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import skops.io

from serving.cluster.parent import process_lives
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


def check(
    runtime: str, content: bytes | str, *options: str, at: Path
) -> tuple[int, dict[str, Any]]:
    """Run check in a process of its own; return its exit status and its only line."""
    command = [*arguments("check", runtime=runtime, content=content, at=at), *options]
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


@asynccontextmanager
async def served(
    runtime: str, content: bytes | str, *, at: Path, folder: Path
) -> AsyncIterator[tuple[subprocess.Popen[bytes], Web]]:
    """Run serve in a process of its own, and connect to it."""
    socket = folder / "r.sock"
    command = arguments("serve", runtime=runtime, content=content, at=at)
    command += ["--address", f"unix:{socket}", "--name", "model", "--version", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            line = json.loads(await asyncio.to_thread(process.stdout.readline))
            assert line == {
                "ok": True,
                "address": f"unix:{socket}",
                "replica": f"model-1-{process.pid}",
                "pid": process.pid,
            }
            web = await Web.dial(line["address"], hello=None)
            yield process, web
            web.connection.close()
            assert await asyncio.to_thread(process.wait, LIMIT) == 0
            assert not socket.exists()
        finally:
            process.kill()


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_answers_and_drains_on_a_signal(
    number: signal.Signals, svm: Any, rows: list[bytes], artifact_file: Path, short_folder: Path
) -> None:
    content = skops.io.dumps(svm)
    async with served("sklearn", content, at=artifact_file, folder=short_folder) as (process, web):
        assert await web.ask(rows[0]) == [(AnswerStatus.OK, b"0")]
        process.send_signal(number)
        await web.next(FrameType.DRAIN)
        assert await web.ask(rows[0]) == [(AnswerStatus.OK, b"0")]


FORKS = """
import os

class Predictor:
    def __init__(self, path): pass
    def pred_batch(self, inputs):
        os.fork()
        return [os.getpid()]
"""


async def test_a_fork_that_a_model_comes_back_with_ends_and_answers_nobody(
    artifact_file: Path, short_folder: Path
) -> None:
    async with served("python", FORKS, at=artifact_file, folder=short_folder) as (process, web):
        for request_id in (1, 2):
            answers = await web.ask(b"[0]", request_id=request_id)
            assert answers == [(AnswerStatus.OK, str(process.pid).encode())]
        async with asyncio.timeout(60):
            while any(process_lives(c.pid) for c in psutil.Process(process.pid).children()):
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        await web.next(FrameType.DRAIN)


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
