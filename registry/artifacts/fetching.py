"""Fetches an artifact onto this host: once for all who want it, verified, resumed after a break."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from itertools import cycle
from pathlib import Path

from core.errors import ClipperError, FetchFailed, InsufficientStorage, NotFound
from core.file_lock import LockTimeout, is_at, only_one, try_lock
from registry.artifacts.copies import Copies, CopyFile
from registry.artifacts.counts import FetchCounts
from registry.artifacts.room import full_disk_is_507
from registry.artifacts.sources import Arriving, Source, SourceBusy, SourceFailed

# So long nothing may come before it is given up; whoever wants it tries again later, and goes on
# from there.
GIVE_UP_S = 30.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
# Wrong bytes so often are no accident.
MOST_TIMES_WRONG = 3
SHORT_DIGEST = 12

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """How far it has come; `size` is None where nobody has said yet how much it is."""

    arrived: int = 0
    size: int | None = None

    @property
    def text(self) -> str:
        if self.size is None:
            return "fetching its artifact"
        bits, unit = (20, "MB") if self.size >> 20 else (10, "kB")
        whole = -(-self.size >> bits)
        return f"fetching its artifact: {self.arrived >> bits:,} of {whole:,} {unit}"


Tell = Callable[[Fetching], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Gets artifacts from the first of `sources` that has them, each within `within_s`."""

    sources: Sequence[Source]
    copies: Copies
    counts: FetchCounts
    within_s: float
    give_up_s: float = GIVE_UP_S

    @contextmanager
    def fetched(self, digest: str, *, tell: Tell) -> Iterator[Path]:
        """Yield the artifact's copy on this host, which stays as long as the block lasts.

        `tell` is called again and again; what it raises ends the fetch. Raises NotFound where no
        source has it, InsufficientStorage, or FetchFailed.
        """
        until = time.monotonic() + self.within_s
        verified = False
        while True:
            with self.copies.held(digest) as copy:
                if copy is not None and (verified or self._is_sound(digest)):
                    yield copy
                    return
            verified = self._fetch_once(digest, until=until, tell=tell)

    def _is_sound(self, digest: str) -> bool:
        if self.copies.is_sound(digest):
            return True
        self._refuse(digest, sent_by="the disk of this host")
        self.copies.drop(digest)
        return False

    def _fetch_once(self, digest: str, *, until: float, tell: Tell) -> bool:
        """Fetch it unless another process does; returns whether this one has, and verified it."""
        try:
            with only_one(
                self.copies.lock_of(digest),
                until=until,
                meanwhile=lambda: tell(_state(self.copies.part_of(digest))),
            ):
                if self.copies.path_of(digest).exists():
                    return False
                self._fetch(digest, until=until, tell=tell)
        except LockTimeout:
            raise FetchFailed(
                f"Another process of this host fetches the artifact {digest[:SHORT_DIGEST]} "
                f"and has not ended within {self.within_s:.0f} s."
            ) from None
        except (ClipperError, OSError) as error:
            self.counts.note(failures=1, kept_bytes=self.copies.used_bytes)
            logger.warning("not fetched artifact=%s: %s", digest[:SHORT_DIGEST], error)
            if isinstance(error, OSError):
                raise FetchFailed(f"This host can't keep the artifact: {error}") from error
            raise
        self.counts.note(fetched=1, kept_bytes=self.copies.used_bytes)
        return True

    def _fetch(self, digest: str, *, until: float, tell: Tell) -> None:
        """Ask the sources in turn, until all of it is here or nothing has come for too long."""
        patience = _Patience(until=until, give_up_s=self.give_up_s, arrived=self._arrived(digest))
        missing = wrong = 0
        for source in cycle(self.sources):
            tell(_state(self.copies.part_of(digest)))
            try:
                if self._take(digest, source=source, until=until, tell=tell):
                    break
                wrong, why = wrong + 1, f"{source.name} sent other bytes"
            except NotFound as error:
                missing, why = missing + 1, error.message
                if missing == len(self.sources):
                    raise
            except SourceFailed as error:
                missing, why = 0, f"{source.name}: {error}"
                patience.heard(busy=isinstance(error, SourceBusy), arrived=self._arrived(digest))
            logger.info("fetch interrupted artifact=%s: %s", digest[:SHORT_DIGEST], why)
            if wrong == MOST_TIMES_WRONG or patience.is_over:
                raise FetchFailed(f"Can't fetch the artifact {digest[:SHORT_DIGEST]}: {why}")
            time.sleep(patience.pause())
        logger.info("fetched artifact=%s from=%s", digest[:SHORT_DIGEST], source.name)

    def _arrived(self, digest: str) -> int:
        part = self.copies.part_of(digest)
        return part.written if part else 0

    def _take(self, digest: str, *, source: Source, until: float, tell: Tell) -> bool:
        """Have a source send what is missing; False where the whole isn't what it should be.

        Raises SourceFailed where it breaks off, or takes too long; what has come stays for the next
        try.
        """
        begun = self.copies.part_of(digest)
        if begun is not None and begun.written == begun.size:
            # Whoever got all of it died before it had its name.
            arriving = Arriving(size=begun.size, offset=begun.size, chunks=iter(()))
        else:
            arriving = source.send(digest, offset=begun.written if begun else 0)
        try:
            part = self._part_for(arriving, digest=digest, begun=begun)
            return self._write(
                part, digest=digest, source=source, arriving=arriving, until=until, tell=tell
            )
        finally:
            arriving.close()

    def _part_for(self, arriving: Arriving, *, digest: str, begun: CopyFile | None) -> Path:
        """The file that what arrives belongs into."""
        if begun is not None:
            if (begun.size, begun.written) == (arriving.size, arriving.offset):
                return begun.path
            begun.path.unlink(missing_ok=True)
        if arriving.offset:
            raise SourceFailed(f"it sends what follows byte {arriving.offset}, nobody knows why")
        return self.copies.begin_part(digest, size=arriving.size)

    def _write(
        self,
        part: Path,
        *,
        digest: str,
        source: Source,
        arriving: Arriving,
        until: float,
        tell: Tell,
    ) -> bool:
        sha256, written = hashlib.sha256(), arriving.offset
        try:
            with _claimed(part) as file, full_disk_is_507():
                sha256 = hashlib.file_digest(file, "sha256")
                for chunk in arriving.chunks:
                    _write_all(file.fileno(), chunk)
                    sha256.update(chunk)
                    written += len(chunk)
                    if written > arriving.size:
                        break
                    tell(Fetching(arrived=written, size=arriving.size))
                    if written < arriving.size and time.monotonic() >= until:
                        break
        except InsufficientStorage:
            part.unlink(missing_ok=True)  # others need the room
            raise
        finally:
            self.counts.note(fetched_bytes=written - arriving.offset)
        if written < arriving.size:
            why = f"took over {self.within_s:.0f} s" if time.monotonic() >= until else "broke off"
            raise SourceFailed(f"it {why}, {written} of {arriving.size} bytes came")
        if written > arriving.size or sha256.hexdigest() != digest:
            part.unlink(missing_ok=True)
            self._refuse(digest, sent_by=source.name)
            return False
        self.copies.complete(part, digest=digest)
        return True

    def _refuse(self, digest: str, *, sent_by: str) -> None:
        logger.warning("wrong bytes refused artifact=%s from=%s", digest, sent_by)
        self.counts.note(refused=1)


class _Patience:
    """How much longer a fetch goes on, and how long it pauses before it asks again."""

    def __init__(self, *, until: float, give_up_s: float, arrived: int) -> None:
        self._until, self._give_up_s, self._arrived = until, give_up_s, arrived
        self._heard_at = time.monotonic()
        self._pause_s = SHORTEST_PAUSE_S

    def heard(self, *, busy: bool, arrived: int) -> None:
        """A source has failed: something had come before, or it asks to wait."""
        if arrived > self._arrived:
            self._pause_s = SHORTEST_PAUSE_S
        if busy or arrived > self._arrived:
            self._heard_at = time.monotonic()
        self._arrived = arrived

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= min(self._until, self._heard_at + self._give_up_s)

    def pause(self) -> float:
        """Return how long, each time longer where nothing comes."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s


@contextmanager
def _claimed(part: Path) -> Iterator[FileIO]:
    """Open a part, which nobody evicts as long. Raises SourceFailed where somebody just has."""
    with suppress(FileNotFoundError), part.open("r+b", buffering=0) as file:
        if try_lock(file.fileno(), fcntl.LOCK_EX) and is_at(part, file.fileno()):
            yield file
            return
    raise SourceFailed("what had come of it has given way to other artifacts")


def _write_all(descriptor: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(descriptor, left) :]


def _state(part: CopyFile | None) -> Fetching:
    return Fetching(arrived=part.written, size=part.size) if part else Fetching()
