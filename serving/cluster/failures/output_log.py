"""The output of one replica's model, in a bounded file of its own."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from serving.container.failures.output import stream_to
from serving.rpc.text import safe_text

# Looked at each second: a model may write more than that in between.
MOST_BYTES = 1 << 20
SUFFIX = ".log"
EARLIER = ".log.1"
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
MOST_LINES = 5000

logger = logging.getLogger(__name__)


class ReplicaLog:
    """The file of one replica, which this process writes to; the one before is kept beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_caught = False

    def catch_output(self) -> None:
        """Send all that this process writes from now on into the file, if there is room for one."""
        try:
            descriptor = self._open()
        except OSError as error:
            logger.warning("no log of its own for this replica: %s", error)
            return
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        root, workers_log = logging.getLogger(), stream_to(os.dup(2))
        for handler in root.handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(workers_log)
        self._take_output(descriptor)
        sys.stdout, sys.stderr = stream_to(1), stream_to(2)
        own = logging.StreamHandler(sys.stderr)
        own.setFormatter(logging.Formatter(FORMAT))
        root.addHandler(own)

    def rotate(self) -> None:
        """Begin a new file if this one is full or gone; for a thread that looks now and then."""
        if not self._is_caught:
            return
        try:
            if self.path.exists() and self.path.stat().st_size > MOST_BYTES:
                self.path.replace(self.path.with_suffix(EARLIER))
            if not self.path.exists():  # or there was no room for a new one the last time
                self._take_output(self._open())
        except OSError as error:  # a full disk is no reason to stop answering
            logger.debug("log not rotated: %s", error)

    def _open(self) -> int:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def _take_output(self, descriptor: int) -> None:
        self._is_caught = True
        for number in (1, 2):
            os.dup2(descriptor, number)
        os.close(descriptor)


def log_of(folder: Path, *, model: str, version: str, replica_id: str) -> ReplicaLog:
    """Return the log for a new replica; of those that are gone the oldest files make room."""
    try:
        forget_oldest(folder)
    except OSError as error:  # the worker's process has claimed the replica, and has to serve it
        logger.warning("old logs not removed: %s", error)
    return ReplicaLog(folder / f"{model}@{version}@{replica_id}{SUFFIX}")


def forget_oldest(folder: Path, *, most: int = 100) -> None:
    """Remove the files that were written to longest ago."""
    files = sorted(folder.glob(f"*{SUFFIX}"), key=_written_at)
    for file in files[: max(0, len(files) - most + 1)]:
        for gone in (file, file.with_suffix(EARLIER)):
            gone.unlink(missing_ok=True)


def find_log(folder: Path, *, replica_id: str) -> Path | None:
    """The file of a replica, None where there is none on this host."""
    return next((file for file in _files(folder) if replica_of(file) == replica_id), None)


def logs_of_version(folder: Path, *, model: str, version: str) -> Sequence[Path]:
    """The files of a version's replicas on this host, the one written to last first."""
    wanted = [model, version]
    files = [file for file in _files(folder) if file.stem.split("@")[:2] == wanted]
    return sorted(files, key=_written_at, reverse=True)


def replica_of(file: Path) -> str:
    return file.stem.split("@")[2]


def model_of(file: Path) -> str:
    return file.stem.split("@")[0]


def last_lines(file: Path, *, lines: int) -> list[str]:
    """The last lines of a replica's output, printable and each of bounded length."""
    text = _end_of(file, bytes_=MOST_BYTES)
    if text.count(b"\n") < lines and (earlier := file.with_suffix(EARLIER)).exists():
        text = _end_of(earlier, bytes_=MOST_BYTES) + text
    found = text.decode(errors="replace").splitlines()[-lines:]
    return [_printable(line) for line in found]


def lines_after(file: Path, *, after: int) -> tuple[list[str], int]:
    """Return the whole lines after so many bytes of a replica's output, and where they end."""
    rest = b""
    if after > (file.stat().st_size if file.exists() else 0):  # another file was begun since
        rest, after = _from(file.with_suffix(EARLIER), after), 0
    text = _from(file, after)
    whole = text[: text.rfind(b"\n") + 1]
    found = (rest + whole).decode(errors="replace").splitlines()[-MOST_LINES:]
    return [_printable(line) for line in found], after + len(whole)


def _printable(line: str) -> str:
    return safe_text(line, most=2000)


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.glob(f"*{SUFFIX}") if file.stem.count("@") == 2]


def _end_of(file: Path, *, bytes_: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - bytes_))
            return opened.read(bytes_)
    except FileNotFoundError:  # rotated or removed at this moment
        return b""


def _from(file: Path, after: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(after)
            return opened.read(2 * MOST_BYTES)
    except FileNotFoundError:
        return b""


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
