"""Output of a replica's process, in C too: a file of its own, bounded and printable."""

import json
import os
import subprocess
import sys
from pathlib import Path

from serving.cluster.failures.output_log import (
    MOST_BYTES,
    find_log,
    forget_oldest,
    last_lines,
    lines_after,
    log_of,
    logs_of_version,
)

ROOT = Path(__file__).resolve().parents[4]

# As a fork of a worker: its descriptors are the worker's log.
PROCESS = """
import json, logging, os, subprocess, sys
from pathlib import Path
from serving.cluster.failures.output_log import log_of

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
log = log_of(Path(sys.argv[1]), model="svm", version="2", replica_id="abc")
print("before", flush=True)
log.catch_output()
{inside}
"""


def run(folder: Path, inside: str) -> subprocess.CompletedProcess[str]:
    code = PROCESS.replace("{inside}", inside)
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )


def test_whatever_writes_is_caught_and_the_log_goes_on_to_the_worker_s(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        "print('printed')\n"
        "sys.stderr.write('to stderr\\n')\n"
        "os.write(1, b'from C\\n')\n"
        "subprocess.run(['echo', 'from a child'], check=True)\n"
        "logging.getLogger('ours').warning('logged')",
    )

    file = find_log(tmp_path, replica_id="abc")
    assert file is not None
    lines = last_lines(file, lines=100)
    assert lines[:4] == ["printed", "to stderr", "from C", "from a child"]
    assert lines[4].endswith("WARNING ours logged")
    assert done.stdout == "before\n"
    assert done.stderr == "WARNING:ours:logged\n"
    assert file.stat().st_mode & 0o077 == 0


def test_a_full_file_gives_way_to_a_new_one_and_the_one_before_is_kept(tmp_path: Path) -> None:
    run(
        tmp_path,
        f"os.write(1, b'old\\n' + b'x' * {MOST_BYTES} + b'\\nend\\n')\n"
        "log.rotate()\n"
        "print('new')\n"
        "log.rotate()",
    )

    file = find_log(tmp_path, replica_id="abc")
    assert file is not None
    assert file.read_text() == "new\n"
    assert last_lines(file, lines=2) == ["end", "new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["svm@2@abc.log", "svm@2@abc.log.1"]


def test_output_goes_on_to_the_worker_s_log_where_there_is_no_room_for_a_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")

    done = run(tmp_path / "file", "print('printed')")

    assert done.stdout == "before\nprinted\n"
    assert "no log of its own" in done.stderr


def test_lines_are_made_printable_and_bounded(tmp_path: Path) -> None:
    file = tmp_path / "svm@2@abc.log"
    file.write_bytes(b"first\n\x1b[2J\xff\0\n" + b"y" * 100_000 + b"\n")

    lines = last_lines(file, lines=2)

    assert lines[0] == "\\x1b[2J\ufffd\\x00"
    assert len(json.dumps(lines[1])) < 3000


def test_the_files_of_a_version_are_found_and_the_oldest_make_room(tmp_path: Path) -> None:
    for number in range(5):
        file = tmp_path / f"svm@2@r{number}.log"
        file.write_text("x")
        file.with_suffix(".log.1").write_text("x")
        os.utime(file, (number, number))
    (tmp_path / "svm@3@other.log").write_text("x")

    found = logs_of_version(tmp_path, model="svm", version="2")
    assert [file.name for file in found] == [f"svm@2@r{number}.log" for number in range(4, -1, -1)]

    forget_oldest(tmp_path, most=4)
    assert sorted(path.name for path in tmp_path.glob("svm@2@*.log*")) == [
        *("svm@2@r3.log", "svm@2@r3.log.1", "svm@2@r4.log", "svm@2@r4.log.1")
    ]
    assert log_of(tmp_path, model="svm", version="2", replica_id="r9")
    assert find_log(tmp_path, replica_id="../r3") is None


def test_whoever_follows_misses_no_line_where_a_new_file_begins(tmp_path: Path) -> None:
    file = tmp_path / "svm@1@a.log"
    assert lines_after(file, after=0) == ([], 0)
    file.write_text("one\ntwo\nthr")
    assert lines_after(file, after=0) == (["one", "two"], 8)
    assert lines_after(file, after=4) == (["two"], 8)
    file.write_text("one\ntwo\nthree\n")
    file.rename(tmp_path / "svm@1@a.log.1")
    file.write_text("four\n")
    assert lines_after(file, after=8) == (["three", "four"], 5)
    assert lines_after(file, after=5) == ([], 5)
