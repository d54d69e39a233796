"""A refusal: what is uploaded, when that is refused, and with which code.

Its words are in the tables of the page alone, `docs/reference/refusals.md`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/refusals.md"
TABLES = re.compile(r"^\| what .*\n(?:\|.*\n)+", re.MULTILINE)
# Stands in the words for anything that isn't the same each time.
ANYTHING = "…"
# The models, and applications of the same names, whose version 1 serves meanwhile: of numbers, of
# columns, and of numbers once more. The last is itself what goes wrong.
NUMBERS, COLUMNS, OTHERS, FRAGILE = "steady", "steady-columns", "steady-others", "fragile"


class When(StrEnum):
    """The moment at which a mistake is found."""

    UPLOAD = "upload"
    CHECK = "check"
    LIVE = "live"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """`artifact` writes what is uploaded into a folder and returns it, or is where it lives.

    `traceback` is a line of what the errors of its version show; `sent` are the arguments of the
    client's `deploy`. Its words are those of its row on the page.
    """

    title: str
    when: When
    artifact: Callable[[Path], Any]
    code: str
    traceback: str = ""
    model: str = NUMBERS
    sent: Mapping[str, Any] = field(default_factory=dict)
    # The query that shows the fault of a version that is live.
    asked: Any = (1.0, 2.0, 3.0)

    def says(self, text: str) -> bool:
        """Return whether a text is that of its row, where ANYTHING stands for anything."""
        row = rows_of_page()[self.when, self.title]
        return re.fullmatch(".+".join(map(re.escape, row.split(ANYTHING))), text) is not None


@cache
def rows_of_page() -> Mapping[tuple[When, str], str]:
    """Return the words of each row of the page's tables, which are in the order of `When`."""
    found: dict[tuple[When, str], str] = {}
    for when, table in zip(When, TABLES.findall(PAGE.read_text()), strict=True):
        for line in table.splitlines()[2:]:
            title, *_, words = re.split(r"(?<!\\) \| ", line.strip("| "))
            found[when, title] = words.strip("`").replace("\\|", "|")
    return found


def at_upload(
    title: str,
    artifact: Callable[[Path], Any],
    *,
    code: str = "malformed",
    fields: Mapping[str, Any] | None = None,
    **sent: Any,
) -> Refusal:
    """Return a version that isn't even registered."""
    sent = {"fields": dict(fields or {}), **sent}
    return Refusal(title=title, when=When.UPLOAD, artifact=artifact, code=code, sent=sent)


def at_check(
    title: str,
    artifact: Callable[[Path], Any],
    *,
    traceback: str = "",
    model: str = NUMBERS,
    fields: Mapping[str, Any] | None = None,
    **sent: Any,
) -> Refusal:
    """Return a version that fails its check; the version before goes on serving."""
    return Refusal(
        title=title,
        when=When.CHECK,
        artifact=artifact,
        code="release_failed",
        traceback=traceback,
        model=model,
        sent={"fields": dict(fields or {}), **sent},
    )


def live(
    title: str, artifact: Callable[[Path], Any], *, code: str = "model_failed", **more: Any
) -> Refusal:
    """Return a version that nothing is wrong with until somebody asks it."""
    return Refusal(title=title, when=When.LIVE, artifact=artifact, code=code, model=FRAGILE, **more)
