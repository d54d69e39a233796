"""A version is tried out in a process of its own; whatever it does, a reason comes back."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.specs import VersionSpec
from serving.cluster.control.checks.version_trial import Aborted, QueuedTime, try_out
from serving.cluster.parent import process_lives
from serving.container.check_report import Agreement
from serving.container.sandbox.family import MOST_PROCESSES
from serving.testing import version_spec
from tests.examples.example import zipped
from tests.serving.cluster.wait_until import wait_for

GOOD = """
class Predictor:
    def __init__(self, path): {construct}
    def pred_batch(self, inputs): return [0] * len(inputs)
"""
# By then a busy machine, too, has come to the code of the model.
COMES_UP_S = 10
IS_PIPE = "os.path.exists(f'/proc/self/fd/{fd}') and 'pipe' in os.readlink(f'/proc/self/fd/{fd}')"
SAYS_NONSENSE = f"[os.write(fd, b'[' * 50_000) for fd in range(3, 64) if {IS_PIPE}]"


def a_version(
    folder: Path, *, construct: str = "", code: str | bytes = "", **limits: Any
) -> tuple[VersionSpec, Path]:
    """A version of this code, or of a good one that does this when it is constructed."""
    artifact = folder / "predictor.py"
    code = code or GOOD.format(construct=construct)
    artifact.write_bytes(code.encode() if isinstance(code, str) else code)
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    version = version_spec(model="svm", runtime="python", digest=digest, allow_pickle=True)
    return replace(version, **limits), artifact


def test_a_good_version_has_no_fault(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="self.n_features = print('hello') or 7")

    trial = try_out(version, artifact=artifact)

    assert (trial.fault, trial.n_features) == (None, 7)
    assert trial.output == "hello\n"


def test_a_good_executable_is_tried_out_though_its_check_is_confined_too(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, code=zipped(), runtime="command")

    trial = try_out(version, artifact=artifact)

    assert (trial.fault, trial.failure) == (None, None)


LOOKS_AROUND = """
import os

class Predictor:
    def __init__(self, path): pass
    def pred_batch(self, inputs):
        print(*(entry.name for entry in os.scandir(os.environ["TMPDIR"]) if entry.is_file()))
        return [0] * len(inputs)
"""


LEAVES = """
import os, subprocess, sys, time

class Predictor:
    def __init__(self, path):
        sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
        apart = subprocess.Popen(sleeps, start_new_session=True)
        if (forked := os.fork()) == 0:
            os.setsid()
            if os.fork() == 0:
                os.setpgid(0, 0)
                print("left", os.getpid(), flush=True)
                time.sleep(600)
            os._exit(0)
        os.waitpid(forked, 0)
        print("left", apart.pid, flush=True)

    def pred_batch(self, inputs): return [0] * len(inputs)
"""


def test_nothing_that_it_starts_outlives_it_in_a_session_of_its_own_either(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, code=LEAVES)

    trial = try_out(version, artifact=artifact)

    assert trial.fault is None
    left = [int(pid) for pid in re.findall(r"left (\d+)", trial.output)]
    assert len(left) == 2
    wait_for(lambda: not any(map(process_lives, left)), within_s=60, what="their end")


# Orphans: three that hold 100 MiB each, or too many that hold nothing.
FORKS_TWICE = """
import os, time

class Predictor:
    def __init__(self, path):
        for _ in range({count}):
            if (forked := os.fork()) == 0:
                if os.fork() == 0:
                    held = bytearray({mib} << 20)
                    time.sleep(600)
                os._exit(0)
            os.waitpid(forked, 0)
        time.sleep(600)

    def pred_batch(self, inputs): return [0] * len(inputs)
"""


@pytest.mark.parametrize(
    ("count", "mib", "fault"),
    [(3, 100, "more than its memory limit of 200 MiB"), (MOST_PROCESSES, 0, "processes")],
)
def test_what_its_orphans_take_counts(tmp_path: Path, count: int, mib: int, fault: str) -> None:
    code = FORKS_TWICE.format(count=count, mib=mib)
    version, artifact = a_version(tmp_path, code=code, memory_limit_mb=200, load_timeout_s=120)

    trial = try_out(version, artifact=artifact)

    assert fault in (trial.fault or "")


def test_kept_inputs_lie_in_no_file_that_a_killed_worker_would_leave(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, code=LOOKS_AROUND)
    rows = [(b"[1.0]", b"0"), (b"[2.0]", b"1")]

    trial = try_out(version, artifact=artifact, kept=rows)

    assert trial.fault is None
    assert trial.report.kept == Agreement(inputs=2, answered=2, same=1, largest_difference=1.0)
    assert trial.output
    assert not trial.output.strip()


def test_what_it_raised_is_the_fault_however_many_bytes_its_words_take(tmp_path: Path) -> None:
    words = "\N{SNOWMAN}" * 1900
    version, artifact = a_version(tmp_path, construct=f"raise OSError({words!r})")

    trial = try_out(version, artifact=artifact)

    assert trial.failure is not None, trial.fault
    assert words in trial.failure.error
    assert "predictor.py" in trial.failure.traceback


@pytest.mark.parametrize(
    ("construct", "expected"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 3)", "signal 37"),
        (f"import os; {SAYS_NONSENSE}; os._exit(4)", "exit code 4"),
    ],
)
def test_a_model_that_ends_the_process_is_told_apart(
    tmp_path: Path, construct: str, expected: str
) -> None:
    version, artifact = a_version(tmp_path, construct=construct)

    trial = try_out(version, artifact=artifact)

    assert trial.fault is not None
    assert expected in trial.fault
    assert trial.failure is not None
    assert (trial.failure.error, trial.failure.traceback) == (trial.fault, "")


def test_a_model_that_crashes_tells_where(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="import ctypes; ctypes.string_at(0)")

    trial = try_out(version, artifact=artifact)

    assert trial.failure is not None
    assert "ended with signal 11 (SIGSEGV)" in trial.failure.error
    lines = trial.failure.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "Segmentation fault"
    assert re.search(r'File "predictor.py", line \d+, in __init__', lines[1])
    assert lines[1] in str(trial.fault)


REFUSES = """
class Predictor:
    def __init__(self, path): self.n_features = 2
    def pred_batch(self, inputs): {}
"""


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        ("raise ValueError('negative')", "ValueError: negative"),
        ("return bytearray(b'x') * (400 << 20)", "MemoryError"),
    ],
)
def test_a_model_that_fails_to_answer_tells_where(tmp_path: Path, answer: str, last: str) -> None:
    version, artifact = a_version(tmp_path, code=REFUSES.format(answer), memory_limit_mb=128)

    trial = try_out(version, artifact=artifact)

    assert trial.failure is not None
    assert last in trial.failure.error
    assert trial.failure.traceback.endswith(f"    def pred_batch(self, inputs): {answer}\n{last}")


def test_a_model_that_never_comes_up_runs_out_of_time(tmp_path: Path) -> None:
    sleeps = "import time; time.sleep(60)"
    version, artifact = a_version(tmp_path, construct=sleeps, load_timeout_s=COMES_UP_S)
    beats: list[int] = []

    trial = try_out(version, artifact=artifact, meanwhile=lambda: beats.append(1))

    assert trial.failure is not None
    assert trial.failure.error == f"the model did not load and answer within {COMES_UP_S} s"
    assert 'File "predictor.py"' in trial.failure.traceback
    assert beats


def test_time_for_which_it_waited_for_a_core_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QueuedTime, "total", lambda *_: 600.0)
    version, artifact = a_version(
        tmp_path, construct="import time; time.sleep(5)", load_timeout_s=4
    )

    assert try_out(version, artifact=artifact).fault is None


@pytest.mark.skipif(sys.platform != "linux", reason="no schedstat elsewhere")
def test_a_process_that_shares_a_core_waits_for_it() -> None:
    core = min(os.sched_getaffinity(0))
    busy = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"]
    queued = QueuedTime()
    with ended(subprocess.Popen(busy)) as one, ended(subprocess.Popen(busy)):
        wait_for(lambda: queued.total(one.pid) > 0.2, what="its turns in a queue")


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill a process when the block ends."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_validation_can_be_given_up(tmp_path: Path) -> None:
    version, artifact = a_version(tmp_path, construct="import time; time.sleep(60)")

    def give_up() -> None:
        raise Aborted

    with pytest.raises(Aborted):
        try_out(version, artifact=artifact, meanwhile=give_up)
