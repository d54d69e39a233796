"""The open loop over HTTP: every query leaves when it is due, whatever became of the others.

What costs time for each query is C (`open_loop.c`), as the generator shares the machine with what
it asks. When queries are due and what they ask is made here, beforehand. Where everything is due at
once, it is a closed loop: each connection asks again when answered.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Failed
from benchmarks.wrk import COUNTER, COUNTER_DIGITS
from clipper_site import ROOT

SOURCE, BUILT = Path(__file__).with_name("open_loop.c"), ROOT / "build/benchmarks"
COMPILER = ("cc", "-O2", "-Wall", "-Wextra", "-Werror")
# Counters of wrk begin at zero; these never meet them.
FIRST = 500_000_000
GIVEN_UP_SECONDS = 10.0
# Beyond the time that it was given, until it is done or taken for broken.
GRACE_SECONDS = 60.0
HEADER_END = b"\r\n\r\n"

# What the program maps, one after the other. First the load; what it tells of it comes last:
_LOAD = np.dtype(
    [(name, "i8") for name in ("queries", "requests", "connections", "first", "closed")]
    + [(name, "f8") for name in ("give_up", "zero", "elapsed")]
)
# Each query: when it was due, and the seconds from then to its answer and until it was sent. From
# when it was due, not from when it was sent: a generator that fell behind must not hide how long a
# client would have waited. `late` is without what it had to wait for a connection. `status` is
# HTTP's, or 0 where no answer came; `default` whether it was the default output.
QUERY = np.dtype(
    [("due", "f8"), ("took", "f8"), ("late", "f8"), ("status", "i4"), ("default", "?")],
    align=True,
)
# Each request: its place among the bytes of all, and that of its counter's digits in it, or -1.
_REQUEST = np.dtype([(name, "i8") for name in ("start", "size", "digits")])


class Phase(msgspec.Struct, frozen=True):
    """So many seconds at so many queries a second."""

    rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """A record of every query, in the order in which they were due, seconds after `zero`.

    `zero` is on the monotonic clock, which all processes share. The fields of `queries` are those
    of `QUERY`.
    """

    zero: float
    elapsed: float
    queries: NDArray[Any]
    answers: list[bytes]


def arrivals(phases: Sequence[Phase], *, seed: int) -> NDArray[np.float64]:
    """Return the time each query is due: independent of others, as of many people (Poisson)."""
    generator = np.random.default_rng(seed)
    start, parts = 0.0, []
    for phase in phases:
        count = generator.poisson(phase.rate * phase.seconds)
        parts.append(np.sort(generator.uniform(start, start := start + phase.seconds, count)))
    return np.concatenate(parts)


def post_request(*, host: str, port: int, path: str, api_key: str, body: bytes) -> bytes:
    """A POST of JSON with the key in it, as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Api-Key {api_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def head_of(head: bytes) -> tuple[int, int]:
    """Return the status, and the length of the body that follows."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(head[9:12]), int(value)
    return int(head[9:12]), 0


def compiled(*, into: Path = BUILT) -> Path:
    """Return the program, which is made when there is none of this source."""
    program = into / f"open_loop-{sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if program.exists():
        return program
    if shutil.which(COMPILER[0]) is None:
        raise Failed("a C compiler isn't installed; on Debian: apt-get install build-essential")
    into.mkdir(parents=True, exist_ok=True)
    # Others may make it at the same time.
    with tempfile.TemporaryDirectory(dir=into) as folder:
        made = Path(folder) / program.name
        _run([*COMPILER, "-o", str(made), str(SOURCE)])
        return made.replace(program)


def _run(command: Sequence[str], **how: Any) -> bytes:
    """Return what it prints; Failed with what it says where it fails."""
    finished = subprocess.run(command, capture_output=True, check=False, **how)
    if finished.returncode != 0:
        said = finished.stderr.decode(errors="replace").strip()
        raise Failed(f"{Path(command[0]).name} failed ({finished.returncode}): {said}")
    return bytes(finished.stdout)


class OpenLoop:
    """Asks, in a process of its own each time; the counter in the bodies never repeats."""

    def __init__(self, *, api_key: str) -> None:
        self._api_key = api_key
        self._first = FIRST

    def run(
        self,
        url: str,
        *,
        bodies: Path,
        phases: Sequence[Phase] = (),
        seconds: float = 0.0,
        connections: int = 1024,
    ) -> Recording:
        """Ask the URL with `bodies`, one a line; a wait for one of the `connections` counts.

        Without `phases` each body is asked once, within `seconds`, and answers of 200 are kept.
        """
        lasts = seconds + sum(phase.seconds for phase in phases)
        requests = self._rendered(url, bodies=bodies)
        due = arrivals(phases, seed=self._first) if phases else np.zeros(len(requests))
        counts = (len(due), len(requests), connections, self._first, not phases)
        load = np.array([(*counts, lasts + GIVEN_UP_SECONDS, 0.0, 0.0)], dtype=_LOAD)
        self._first += len(due)
        queries = np.zeros(len(due), dtype=QUERY)
        queries["due"], queries["took"] = due, -1.0
        at = urlsplit(url)
        command = [str(compiled()), socket.gethostbyname(at.hostname or ""), str(at.port or 80)]
        # In memory: the disk must not make it wait.
        with os.fdopen(os.memfd_create("load"), "w+b") as file:
            parts = (load, queries, _places(requests))
            file.write(b"".join([part.tobytes() for part in parts] + requests))
            file.flush()
            answers = _run(command, stdin=file, timeout=lasts + GRACE_SECONDS)
            file.seek(0)
            load, queries = np.fromfile(file, _LOAD, 1), np.fromfile(file, QUERY, len(due))
        return Recording(
            zero=load["zero"].item(),
            elapsed=load["elapsed"].item(),
            queries=queries,
            answers=answers.split(b"\0")[:-1],
        )

    def _rendered(self, url: str, *, bodies: Path) -> list[bytes]:
        """Return the request of each body."""
        at, lines = urlsplit(url), bodies.read_bytes().splitlines()
        if not lines:
            raise Failed(f"{bodies} holds no body")
        render = partial(
            post_request,
            host=at.hostname or "",
            port=at.port or 80,
            path=at.path,
            api_key=self._api_key,
        )
        return [render(body=line) for line in lines]


def _places(requests: Sequence[bytes]) -> NDArray[Any]:
    places = np.zeros(len(requests), dtype=_REQUEST)
    places["size"] = [len(request) for request in requests]
    places["start"] = np.cumsum(places["size"]) - places["size"]
    found = np.array([request.find(COUNTER.encode()) for request in requests])
    places["digits"] = np.where(found < 0, found, found + len(COUNTER) - COUNTER_DIGITS)
    return places
