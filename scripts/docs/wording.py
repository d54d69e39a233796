"""A snapshot of what people read: messages, help texts, labels and the words of pages.

`python -m scripts.docs.wording` writes it to `tests/docs/wording.txt`, where a review sees every
change of a word. No other test pins wording.
"""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from scripts.docs.root_pages import ROOT

SNAPSHOT = ROOT / "tests/docs/wording.txt"
FOLDERS = (
    "core",
    "registry",
    "selection",
    "serving",
    "console",
    "clipper_site",
    "clients",
    "scripts",
)
TEXTS = {"help", "help_text", "verbose_name", "label", "description", "hint", "msg", "summary"}
TEMPLATE_TAG = re.compile(r"{%.*?%}|{#.*?#}", re.DOTALL)


def main() -> None:
    SNAPSHOT.write_text(snapshot(), encoding="utf-8")


def snapshot() -> str:
    """Return every text once, in order, a line each; moving a file changes nothing."""
    texts = {
        text
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts
        for text in _of_code(path.read_text(encoding="utf-8"))
    }
    for path in (ROOT / "templates").rglob("*.html"):
        texts.update(texts_of_page(path.read_text(encoding="utf-8")))
    return "".join(f"{text}\n" for text in sorted(texts))


def _of_code(source: str) -> Iterator[str]:
    """Yield the texts of raised errors and of keyword arguments that people read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from filter(None, map(_text, node.exc.args))
        elif isinstance(node, ast.keyword) and node.arg in TEXTS and (text := _text(node.value)):
            yield text


def _text(node: ast.expr) -> str:
    """Return a literal as one line, with a pair of braces for each value; else nothing."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        found = node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        found = "".join(map(str, parts))
    else:
        return ""
    return " ".join(found.split())


def texts_of_page(template: str) -> list[str]:
    """Return what people read of a template, text by text."""
    parser = _Words()
    parser.feed(TEMPLATE_TAG.sub(" ", template))
    return parser.texts


class _Words(HTMLParser):
    """Collects the texts of a page, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and not self._silent and not re.fullmatch(r"({{[^}]*}}|\W)*", text):
            self.texts.append(text)


if __name__ == "__main__":
    main()
