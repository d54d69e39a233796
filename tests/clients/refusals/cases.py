"""Each refusal: what is uploaded, when that is refused, and the exact words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

# What stands in the words for what isn't the same each time.
ANYTHING = "…"
# The models, and applications of the same names, whose version 1 serves meanwhile: of numbers, of
# columns, and of numbers once more. The last is itself what goes wrong.
NUMBERS, COLUMNS, OTHERS, FRAGILE = "steady", "steady-columns", "steady-others", "fragile"


class When(StrEnum):
    """When a mistake is told."""

    UPLOAD = "upload"
    CHECK = "check"
    LIVE = "live"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """`artifact` writes what is uploaded into a folder and returns it, or is where it lives.

    `says` is the reason in the words of the server, `traceback` a line of what the errors of its
    version show beside it; `sent` are the arguments of the client's `deploy`.
    """

    title: str
    when: When
    says: str
    artifact: Callable[[Path], Any]
    code: str
    traceback: str = ""
    model: str = NUMBERS
    sent: Mapping[str, Any] = field(default_factory=dict)
    # Of the query that finds out what is wrong with a version that is live.
    asked: Any = (1.0, 2.0, 3.0)


def at_upload(
    title: str,
    *,
    says: str,
    artifact: Callable[[Path], Any],
    code: str = "malformed",
    fields: Mapping[str, Any] | None = None,
    **sent: Any,
) -> Refusal:
    """A version that isn't even registered."""
    return Refusal(
        title=title,
        when=When.UPLOAD,
        says=says,
        artifact=artifact,
        code=code,
        sent={"fields": dict(fields or {}), **sent},
    )


def at_check(
    title: str,
    *,
    says: str,
    artifact: Callable[[Path], Any],
    traceback: str = "",
    model: str = NUMBERS,
    fields: Mapping[str, Any] | None = None,
    **sent: Any,
) -> Refusal:
    """A version that fails its check; the version before goes on serving."""
    return Refusal(
        title=title,
        when=When.CHECK,
        says=says,
        artifact=artifact,
        code="release_failed",
        traceback=traceback,
        model=model,
        sent={"fields": dict(fields or {}), **sent},
    )


def live(
    title: str,
    *,
    says: str,
    artifact: Callable[[Path], Any],
    code: str = "model_failed",
    traceback: str = "",
    asked: Any = (1.0, 2.0, 3.0),
) -> Refusal:
    """A version that nothing is wrong with until somebody asks it."""
    return Refusal(
        title=title,
        when=When.LIVE,
        says=says,
        artifact=artifact,
        code=code,
        traceback=traceback,
        model=FRAGILE,
        asked=asked,
    )


def says(text: str, expected: str) -> bool:
    """Whether a text is what the table says, where ANYTHING stands for anything."""
    pattern = ".+".join(map(re.escape, expected.split(ANYTHING)))
    return re.fullmatch(pattern, text) is not None
