"""``check`` tells in one line whether a version can be served; ``serve`` serves and drains."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import skops.io

from serving.rpc.frames import AnswerStatus, FrameType
from tests.serving.container.artifacts import WHERE, save
from tests.serving.container.test_server import LIMIT, Web

ROOT = Path(__file__).parents[3]


def arguments(command: str, *, runtime: str, content: bytes | str, at: Path) -> list[str]:
    saved = save(content, at=at)
    return [
        *(sys.executable, "-m", "serving.container", command, "--runtime", runtime),
        *("--artifact", str(saved["path"]), "--sha256", saved["sha256"]),
        *("--input-type", "doubles"),
    ]


def check(runtime: str, content: bytes | str, *, at: Path) -> tuple[int, dict[str, Any]]:
    """Run check in a process of its own; return its exit status and its only line."""
    command = arguments("check", runtime=runtime, content=content, at=at)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=50, check=False)
    (line,) = done.stdout.splitlines()
    assert b"Traceback" not in done.stdout
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
        ("sklearn", b"\x80\x04N.", "pickle_refused", "allow pickle for this version"),
        ("fortran", "", "unknown_runtime", "expected a runtime out of sklearn, python"),
        (
            "python",
            WHERE + "\n    def warm_up(self):\n        raise SystemExit(0)\n",
            "unexpected",
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
