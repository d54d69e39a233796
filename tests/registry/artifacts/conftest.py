"""A host's copies, and the sources that it fetches from."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.errors import NotFound
from registry.artifacts.artifact_sources import Arriving, SourceFailed
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.copies import Copies
from registry.artifacts.fetching import ArtifactFiles

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
CHUNK = 64 << 10


@dataclass(kw_only=True)
class PlayedSource:
    """Sends what it has, from the offset that is asked; `breaks` after so many bytes each time."""

    files: dict[str, bytes] = field(default_factory=lambda: {DIGEST: CONTENT})
    name: str = "played"
    breaks: list[int] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    while_sending: Callable[[], object] = lambda: None

    def send(self, digest: str, *, offset: int) -> Arriving:
        self.asked.append(offset)
        if self.faults:
            raise self.faults.pop(0)
        if digest not in self.files:
            raise NotFound(f"{digest} isn't here.")
        content = self.files[digest]
        return Arriving(
            size=len(content), offset=offset, chunks=self._chunks(content, offset=offset)
        )

    def _chunks(self, content: bytes, *, offset: int) -> Iterator[bytes]:
        until = self.breaks.pop(0) if self.breaks else None
        for start in range(offset, len(content), CHUNK):
            if until is not None and start >= until:
                raise SourceFailed("the line is cut")
            yield content[start : start + CHUNK]
            self.while_sending()


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(folder=tmp_path / "copies", max_bytes=10 << 20)


@pytest.fixture
def source() -> PlayedSource:
    return PlayedSource()


@pytest.fixture
def make_fetcher(copies: Copies) -> Callable[..., ArtifactFiles]:
    def make(*sources: PlayedSource, **options: Any) -> ArtifactFiles:
        given: dict[str, Any] = {"copies": copies, "within_s": 20.0, "give_up_s": 0.5} | options
        return ArtifactFiles(store=ArtifactStore.default(), sources=sources, **given)

    return make


@pytest.fixture
def fetcher(make_fetcher: Callable[..., ArtifactFiles], source: PlayedSource) -> ArtifactFiles:
    return make_fetcher(source)


def ignored(_: object) -> None:
    """Whom nobody tells anything."""
