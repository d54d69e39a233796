"""What the operator allows and where packages come from; the settings are its fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CREDENTIALS = re.compile(r"://[^/\s@]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Where packages come from, and how much of time, disk and number environments may take.

    `index_url` may hold credentials ("": PyPI); `wheelhouse` is a folder or page of wheels beside
    it. `sources`: what has no wheel may be built, which runs its code. `at_once` builds on a host.
    """

    index_url: str = ""
    wheelhouse: str = ""
    no_index: bool = False
    sources: bool = False
    build_s: float = 900.0
    largest_bytes: int = 8 << 30
    most: int = 20
    most_bytes: int = 32 << 30
    min_free_bytes: int = 0
    at_once: int = 1
    cache: Path | None = None

    @property
    def longest_s(self) -> float:
        """Until a build has ended whatever happens, with its wait for those before it."""
        return 2 * self.build_s + 30.0

    @property
    def variables(self) -> Iterator[tuple[str, str]]:
        """What uv is told by its environment, which unlike its arguments nobody else can see."""
        if self.index_url:
            yield "UV_DEFAULT_INDEX", self.index_url
        if self.wheelhouse:
            yield "UV_FIND_LINKS", self.wheelhouse

    @property
    def options(self) -> Iterator[str]:
        if self.no_index:
            yield "--no-index"
        if not self.sources:
            yield from ("--only-binary", ":all:")


def without_credentials(text: str) -> str:
    """The text, without the users and passwords of the URLs in it."""
    return _CREDENTIALS.sub("://***@", text)
