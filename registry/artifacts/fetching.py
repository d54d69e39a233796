"""Fetches an artifact onto this host: once for all its users, verified, resumed after a break."""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from django.conf import settings

from core.errors import FetchFailed, InsufficientStorage, NotFound, Unavailable
from core.host_tokens import ARTIFACTS, HostTokens
from registry.artifacts.artifact_sources import Source, SourceFailed, StorageSource, WebSource
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.copies import Copies
from registry.artifacts.disk_space import full_disk_is_507, write_all

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """Progress of a fetch; `size` is None until a source has said it."""

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
class ArtifactFiles:
    """Opens what `store` keeps on this host, and fetches the rest from the first source with it.

    A fetch fails after `within_s`, or when nothing has come for `give_up_s`; the next one goes on.
    """

    store: ArtifactStore
    sources: Sequence[Source]
    copies: Copies
    within_s: float
    give_up_s: float = 30.0

    @classmethod
    def default(cls) -> ArtifactFiles:
        store = ArtifactStore.default()
        return cls(
            store=store,
            sources=_sources(store),
            copies=Copies.default(),
            within_s=settings.CLIPPER_FETCH_TIMEOUT_S,
        )

    @contextmanager
    def opened(self, digest: str, *, tell: Tell = lambda fetching: None) -> Iterator[Path]:
        """Yield its file, which stays within the block. Raises what `fetched` does."""
        path = self.store.file_of(digest)
        if path is not None:
            yield path
        elif self.sources:
            with self.fetched(digest, tell=tell) as path:
                yield path
        else:
            raise NotFound(
                f"The artifact {digest} is missing from {self.store.folder}: this host has "
                "nowhere to fetch it from (CLIPPER_ARTIFACTS_URL), and the folder isn't that of "
                "the web processes."
            )

    @contextmanager
    def fetched(self, digest: str, *, tell: Tell) -> Iterator[Path]:
        """Yield this host's copy, kept within the block; what `tell` raises ends the fetch."""
        until = time.monotonic() + self.within_s
        while True:
            with self.copies.held(digest) as copy:
                if copy is not None:
                    yield copy
                    return
            try:
                with self.copies.locked_part(digest) as part:
                    if part is not None and self.copies.path_of(digest).exists():
                        self.copies.part_of(digest).unlink()  # another fetch has just ended
                        continue
                    if part is not None:
                        self._fetch(digest, part=part, until=until, tell=tell)
                        continue
            except OSError as error:
                raise FetchFailed(f"This host can't keep the artifact: {error}") from error
            tell(Fetching())
            if time.monotonic() >= until:
                raise FetchFailed(
                    f"Another process of this host has fetched the artifact {digest} for "
                    f"{self.within_s:.0f} s."
                )
            time.sleep(0.5)

    def _fetch(self, digest: str, *, part: int, until: float, tell: Tell) -> None:
        """Ask the sources in turn, until all is here or nothing has come for too long."""
        tell(Fetching())
        if _digest_of(part) == digest:  # a fetch was killed before it gave it its name
            self.copies.complete(digest)
            return
        heard_at, arrived = time.monotonic(), _size(part)
        without: set[str] = set()
        for source in cycle(self.sources):
            try:
                self._take(digest, part=part, source=source, until=until, tell=tell)
                break
            except NotFound as error:
                without.add(source.name)
                if len(without) == len(self.sources):
                    self.copies.part_of(digest).unlink(missing_ok=True)
                    raise
                why = error.message
            except SourceFailed as error:
                why = f"{source.name}: {error}"
            logger.info("fetch interrupted artifact=%s: %s", digest, why)
            if _size(part) > arrived:
                heard_at, arrived = time.monotonic(), _size(part)
            if time.monotonic() >= min(until, heard_at + self.give_up_s):
                raise FetchFailed(f"Can't fetch the artifact {digest}: {why}")
            time.sleep(0.5)
        logger.info("fetched artifact=%s from=%s", digest, source.name)

    def _take(self, digest: str, *, part: int, source: Source, until: float, tell: Tell) -> None:
        """Have a source send what is missing, and give the whole its name. Raises SourceFailed."""
        with closing(source.send(digest, offset=_size(part))) as arriving:
            if arriving.offset != _size(part):
                os.ftruncate(part, 0)
            if arriving.offset > _size(part):
                raise SourceFailed(f"it sends what follows byte {arriving.offset}")
            try:
                self.copies.make_room(arriving.size - _size(part))
                with full_disk_is_507():
                    for chunk in arriving.chunks:
                        write_all(part, chunk)
                        written = _size(part)
                        tell(Fetching(arrived=written, size=arriving.size))
                        if written > arriving.size:
                            break
                        if written < arriving.size and time.monotonic() >= until:
                            raise SourceFailed(f"it took over {self.within_s:.0f} s")
                    os.fsync(part)
            except InsufficientStorage:
                self.copies.part_of(digest).unlink(missing_ok=True)  # others need the room
                raise
        if _size(part) < arriving.size:
            raise SourceFailed(f"it broke off, {_size(part)} of {arriving.size} bytes came")
        if _digest_of(part) != digest:
            os.ftruncate(part, 0)
            logger.warning("wrong bytes refused artifact=%s from=%s", digest, source.name)
            raise SourceFailed("it sent other bytes")
        self.copies.complete(digest)


def _size(part: int) -> int:
    return os.fstat(part).st_size


def _digest_of(part: int) -> str:
    with open(part, "rb", closefd=False) as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sources(store: ArtifactStore) -> Sequence[Source]:
    if store.folder is None:
        return [StorageSource(storage=store.storage)]
    tokens = HostTokens(settings.CLIPPER_CLUSTER_SECRET.encode(), purpose=ARTIFACTS)
    urls: Sequence[str] = settings.CLIPPER_ARTIFACTS_URL
    tls = trusted_authorities() if urls else None
    return [WebSource(url=url, tokens=tokens, tls=tls) for url in urls]


def artifact_bytes(digest: str) -> bytes:
    """Return a small artifact from wherever it is, unverified and without a copy on this host.

    Raises NotFound, Unavailable.
    """
    store = ArtifactStore.default()
    with suppress(NotFound, FileNotFoundError):
        return store.path_of(digest).read_bytes()
    why: Exception = NotFound(f"The artifact {digest} is missing from {store.folder}.")
    for source in _sources(store):
        try:
            with closing(source.send(digest, offset=0)) as arriving:
                return b"".join(arriving.chunks)
        except NotFound as error:
            why = error
        except SourceFailed as error:
            why = Unavailable(f"The artifact {digest} can't be read now: {error}")
    raise why


def trusted_authorities() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and the cluster's own."""
    context = ssl.create_default_context()
    if settings.CLIPPER_TLS_CA:
        context.load_verify_locations(settings.CLIPPER_TLS_CA)
    return context
