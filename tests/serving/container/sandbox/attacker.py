"""A model that looks for secrets wherever code can look, and answers with where it found one."""

import gc
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

# In two parts, so that this file and what is made of it don't hold what it looks for.
CANARY = "canary-" + "of-the-stack"


class Predictor:
    n_features = 1

    def __init__(self, path: str) -> None:
        self.found = {f"load: {place}" for place in look()}

    def warm_up(self) -> None:
        self.found |= {f"warm-up: {place}" for place in look()}
        if RAISES and self.found:
            raise AssertionError(sorted(self.found))

    def pred_batch(self, inputs: Sequence[object]) -> list[list[str]]:
        found = sorted(self.found | {f"predict: {place}" for place in look()})
        return [found] * len(inputs)


def look() -> set[str]:
    return {name for name, search in SEARCHES.items() if any(search())}


def own_environment() -> Iterator[bool]:
    yield any(CANARY in value for value in os.environ.values())


def environments() -> Iterator[bool]:
    for file in Path("/proc").glob("[0-9]*/environ"):
        yield CANARY.encode() in read(file)


def parents_memory() -> Iterator[bool]:
    pid = os.getppid()
    for line in read(f"/proc/{pid}/maps").decode().splitlines():
        first, _, last = line.split()[0].partition("-")
        try:
            with Path(f"/proc/{pid}/mem").open("rb") as memory:
                memory.seek(int(first, 16))
                yield CANARY.encode() in memory.read(min(int(last, 16) - int(first, 16), 1 << 24))
        except (OSError, ValueError, OverflowError):
            pass


def objects() -> Iterator[bool]:
    yield any(CANARY in str(vars(found).get("SECRET")) for found in list(sys.modules.values()))
    for found in gc.get_objects():
        if type(found) is dict and found is not globals():
            yield any(type(value) is str and CANARY in value for value in list(found.values()))


def files() -> Iterator[bool]:
    for folder in (os.environ.get("CLIPPER_VAR"), LEFT):
        for file in Path(folder).rglob("*") if folder else ():
            yield CANARY.encode() in read(file)
    yield CANARY.encode() in read(Path(LEFT, "env.sh"))  # it may be guessed, too


def descriptors() -> Iterator[bool]:
    for number in range(3, 256):
        with suppress(OSError):
            yield CANARY.encode() in os.pread(number, 1 << 20, 0)


def sockets() -> Iterator[bool]:
    """Yield if the server beside the secrets answers, which listens as the stack's Redis does."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(f"{LEFT}/redis.sock")
        yield CANARY.encode() in peer.recv(100)


def read(file: str | Path) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError:
        return b""


SEARCHES = {
    "own environment": own_environment,
    "other environments": environments,
    "memory of the parent": parents_memory,
    "objects": objects,
    "files": files,
    "descriptors": descriptors,
    "sockets": sockets,
}
LEFT, RAISES = "@LEFT@", "@RAISES@" == "yes"
