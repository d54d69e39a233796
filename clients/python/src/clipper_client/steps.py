"""What an operation asks of whoever drives it: the same for the plain and for the async client.

An operation is a generator. It yields steps, is sent what each of them gave, and returns its
result, so that what it does is written once, and only waiting is written twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from clipper_client.errors import UNEXPECTED_ANSWER, ClipperError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A multipart form with one file, which is read piece by piece while it is sent, or none."""

    fields: Mapping[str, str]
    file: Path | None
    progress: Callable[[int], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; `repeatable` where a second one does no more than the first."""

    method: str
    path: str
    body: bytes | None = None
    upload: Upload | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    # Beyond the client's own: the server is asked to wait so long.
    extra_time_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ClipperError(
                f"Expected JSON from Clipper, got {self.body[:80]!r} (status {self.status}); "
                "is the address that of a Clipper?",
                code=UNEXPECTED_ANSWER,
                status=self.status,
            ) from None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Something that takes its time, such as saving a model; its result is sent back."""

    call: Callable[[], Any]


Step = Request | Pause | Work
Operation = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class InOrder:
    """Many operations, a few of them at once; their results come in the operations' order."""

    operations: Iterable[Operation[Any]]
    at_once: int
