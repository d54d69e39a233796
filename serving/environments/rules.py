"""The operator's rules for environments; the settings are their fields."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
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

    def mark(self) -> str:
        """Return a digest that changes with these rules and with the folder of wheels."""
        said = [repr(self), *(str(time) for time in _changed_at(self.wheelhouse))]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    @property
    def variables(self) -> Iterator[tuple[str, str]]:
        """Yield uv's environment variables, which unlike arguments nobody else can see."""
        if self.index_url:
            yield "UV_DEFAULT_INDEX", self.index_url
        if self.wheelhouse:
            yield "UV_FIND_LINKS", self.wheelhouse

    def variables_for(self, requirements: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The same for an environment of these: PyPI has no builds for CPUs of PyTorch, so that uv
        looks for them where they are, unless the operator says where to look.
        """
        yield from self.variables
        named = self.index_url or self.wheelhouse or self.no_index
        if not named and wants_cpu_build(requirements):
            yield "UV_TORCH_BACKEND", "cpu"

    @property
    def options(self) -> Iterator[str]:
        if self.no_index:
            yield "--no-index"
        if not self.sources:
            yield from ("--only-binary", ":all:")


def _changed_at(wheelhouse: str) -> Iterator[int]:
    """Yield the time of the last change of the folder of wheels; nothing for a page."""
    if wheelhouse:
        with suppress(OSError, ValueError):
            yield Path(wheelhouse).stat().st_mtime_ns


def wants_cpu_build(requirements: Sequence[str]) -> bool:
    return any(_CPU_BUILD.search(line) for line in requirements)


def without_credentials(text: str) -> str:
    """The text, without the users and passwords of the URLs in it."""
    return _CREDENTIALS.sub("://***@", text)
