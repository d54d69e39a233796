"""Any executable that speaks the container protocol, in whatever language it was written.

The artifact is the executable, or a zip with one named ``container`` beside its files. It is
started with ``--address unix:/...`` and asked over that socket; how others reach this replica, and
how they authenticate, is none of its business. Neither outlives the other.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from serving.container.adapters.archive import kept_folder, unpack
from serving.container.child.kill import end_group, set_parent_death_signal
from serving.container.child.link import EX_SOFTWARE, STARTED_WITHIN_S, ChildLink
from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed
from serving.container.failures.output import READ_WITHIN_S, Overheard, required_pipe
from serving.container.failures.recent_failures import RecentFailures
from serving.container.sandbox.confined import (
    CANNOT_START,
    Confinement,
    confined_command,
    scrubbed_environment,
)
from serving.container.spec import LoadSpec
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames.codec import Answer, AnswerStatus
from serving.rpc.frames.hello import Hello
from serving.rpc.text import safe_text

ENTRY = "container"

logger = logging.getLogger(__name__)


def load(spec: LoadSpec) -> CommandPredictor:
    with kept_folder() as folder:
        return CommandPredictor(_lay_out(spec, folder=folder), spec=spec)


class CommandPredictor:
    """Passes batches on as they are: parsing, and what a bad input gets, is the executable's."""

    def __init__(self, executable: Path, *, spec: LoadSpec) -> None:
        self.input_type = spec.input_type
        self.n_features: int | None = None
        self.failures = RecentFailures()
        self._folder = executable.parent
        self._asked = 0
        self._heard = threading.Event()  # that it listens, or that it has ended
        self._is_up = False  # from then on, its end is that of its replica
        path = self._folder / "container.sock"
        hello = Hello(
            replica=f"{spec.sha256[:12]}-{os.getpid()}",
            model="",
            version=spec.sha256[:12],
            version_id=0,
            generation=0,
            input_type=spec.input_type,
        )
        self._process = _start(executable, address=f"unix:{path}", hello=hello, spec=spec)
        self._errors = Overheard(required_pipe(self._process.stderr), name="container.stderr")
        self._reading = threading.Thread(target=self._read, name="container.stdout", daemon=True)
        self._watching = threading.Thread(target=self._watch, name="container", daemon=True)
        self._reading.start()
        self._watching.start()
        try:
            self._check_listening()
            self._link, said = ChildLink.to(path)
            if said != hello:
                self._link.close()
                raise ProtocolError(f"expected the HELLO it was given, {hello}, got {said}")
        except (OSError, ConnectionLost, ProtocolError) as error:
            self._stop()
            raise LoadFailed(f"the executable does not speak the protocol: {error}") from error
        except BaseException:
            self._stop()
            raise
        self._is_up = True
        if self._process.poll() is not None:  # before anybody would have heard of it
            raise LoadFailed("the executable ended right after its HELLO")

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        self._asked = (self._asked + 1) & 0xFFFF_FFFF
        try:
            answers = self._link.ask(self._asked, inputs)
        except (OSError, ConnectionLost, ProtocolError):
            # Out of step, it is of no more use; its death is this process's, and the answer to the
            # batch: those who asked find out themselves which of its inputs it died of.
            with suppress(ProcessLookupError):
                self._process.kill()
            self._watching.join()
            raise
        for answer in answers:
            if answer.status is AnswerStatus.MODEL_FAILED:
                self.failures.note_message(answer.payload.decode())
        return answers

    def warm_up(self) -> None:
        """It has said HELLO, so it is ready; what an input looks like only it knows."""

    def close(self) -> None:
        self._link.close()
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check_listening(self) -> None:
        """Wait until it listens, or raise LoadFailed."""
        if not self._heard.wait(STARTED_WITHIN_S):
            raise LoadFailed(f"the executable said nothing within {STARTED_WITHIN_S:g} s")
        if (code := self._process.poll()) == CANNOT_START:
            raise LoadFailed("the executable cannot be started: it is no program")
        if code is not None:
            raise LoadFailed(f"the executable ended with exit code {code} before it listened")

    def _stop(self) -> None:
        """End it: on request, or else by force."""
        self._is_up = False
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        end_group(self._process)
        self._hear_out()
        self._watching.join(5.0)

    def _watch(self) -> None:
        code = self._process.wait()
        end_group(self._process)
        self._heard.set()
        if not self._is_up:
            return
        self._hear_out()
        # As a process does whose model breaks it: the cluster takes note.
        logger.error("the container ended, and so does its replica: exit code %d", code)
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(EX_SOFTWARE)

    def _read(self) -> None:
        """Its first line says that it listens, the others are log."""
        with required_pipe(self._process.stdout) as stdout:
            for line in iter(lambda: stdout.readline(8192), b""):
                if self._heard.is_set():
                    logger.info("container: %s", safe_text(line.decode(errors="replace").rstrip()))
                self._heard.set()

    def _hear_out(self) -> None:
        """Wait for its last words."""
        self._reading.join(READ_WITHIN_S)
        self._errors.wait()


def _start(
    executable: Path, *, address: str, hello: Hello, spec: LoadSpec
) -> subprocess.Popen[bytes]:
    folder = executable.parent
    command = [str(executable), "--address", address, "--device", spec.device]
    command += ["--hello", msgspec.json.encode(hello).decode()]
    confinement = Confinement(write=[folder], sockets=True, shared_mb=spec.memory_limit_mb)
    try:
        return subprocess.Popen(
            confined_command(command, confinement),
            cwd=folder,
            env=scrubbed_environment(os.environ, home=folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # in a session of its own its niceness might count for nothing
            preexec_fn=set_parent_death_signal,  # one call to the kernel, no more
        )
    except OSError as error:
        raise LoadFailed(f"the executable cannot be started: {error}") from error


def _lay_out(spec: LoadSpec, *, folder: Path) -> Path:
    """Put the artifact's files into the folder; return the one to run."""
    if spec.starts_with(b"PK"):
        unpack(spec.artifact, into=folder)
        entry = _find_entry(folder)
        unpacked = entry.rename(folder / f"{entry.name}.unpacked")
        _copy_executable(unpacked, to=entry)
        unpacked.unlink()
        return entry
    _copy_executable(spec.artifact, to=folder / ENTRY)
    return folder / ENTRY


def _copy_executable(file: Path, *, to: Path) -> None:
    """Make it executable from the start: chmod does nothing in a check, which is confined."""
    descriptor = os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o700)
    with os.fdopen(descriptor, "wb") as copy, file.open("rb") as content:
        shutil.copyfileobj(content, copy)


def _find_entry(folder: Path) -> Path:
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and path.stem == ENTRY]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ArtifactInvalid(
            f"expected one file named {ENTRY}, with any suffix, at the top of the zip, got {names}"
        )
    return found[0]
