"""The documents as text, and what they mention."""

import re
from functools import cache
from pathlib import Path

from scripts.docs.generated import filled

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
        *(ROOT / "docs").rglob("*.md"),
    ]
)
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"\{[^{}\s]*\}")


@cache
def page(name: str) -> str:
    """One page as readers see it, by its path from the root: what the code fills in included."""
    return filled((ROOT / name).read_text())


@cache
def everything() -> str:
    return "\n".join(filled(file.read_text()) for file in PAGES)


def words(pattern: str, *, text: str) -> set[str]:
    """The whole words that the pattern matches."""
    return set(re.findall(rf"(?<![\w/-]){pattern}(?!\w)", text))


def without_code(text: str) -> str:
    return FENCE.sub("", text)


@cache
def rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    lines = (line.strip() for line in without_code(text).splitlines())
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]


def url_shape(url: str) -> str:
    """An URL with its placeholders unnamed and without its last slash: /models/{}/versions."""
    return PLACEHOLDER.sub("{}", url).rstrip("/") or "/"
