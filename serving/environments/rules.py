"""The operator's rules for environments; the settings are their fields."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_CPU_BUILD = re.compile(r"===?[^+;,\s]+\+cpu\b")
_CREDENTIALS = re.compile(r"://[^/\s@]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Sources of packages, and limits of time, disk and number of environments.

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

    def variables_for(self, requirements: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield uv's environment variables, which unlike arguments nobody else can see."""
        if self.index_url:
            yield "UV_DEFAULT_INDEX", self.index_url
        if self.wheelhouse:
            yield "UV_FIND_LINKS", self.wheelhouse
        # PyPI has no builds for CPUs of PyTorch: uv knows where they are.
        named = self.index_url or self.wheelhouse or self.no_index
        if not named and wants_cpu_build(requirements):
            yield "UV_TORCH_BACKEND", "cpu"

    @property
    def options(self) -> Iterator[str]:
        if self.no_index:
            yield "--no-index"
        if not self.sources:
            yield from ("--only-binary", ":all:")


def wants_cpu_build(requirements: Sequence[str]) -> bool:
    return any(_CPU_BUILD.search(line) for line in requirements)


def without_credentials(text: str) -> str:
    """The text, without the users and passwords of the URLs in it."""
    return _CREDENTIALS.sub("://***@", text)
