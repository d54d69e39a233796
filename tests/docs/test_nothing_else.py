"""The documents speak of nothing that isn't there."""

import ast
import re
from pathlib import Path

import pytest

from scripts.docs.from_code import family, named_metrics
from tests.docs import code
from tests.docs.documents import FENCE, PAGES, ROOT, everything, without_code, words

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# Our packages, and an invented one that brings a runtime.
NO_METRICS = (
    "clipper_site",
    "clipper_client",
    "clipper_server",
    "clipper_fortran",
    # What scripts of 2017 say.
    "clipper_admin",
    "clipper_conn",
)
# What the client reads, which isn't the stack's.
# Of the client, of `clipper worker`, and of deploy/compose.yaml.
ELSEWHERE = {"CLIPPER_URL", "CLIPPER_KEY", "CLIPPER_JOIN_TOKEN", "CLIPPER_PUBLISH", "CLIPPER_IMAGE"}
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def anchors(text: str) -> set[str]:
    """The anchors that headings get on the web."""
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(text))
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_every_link_leads_somewhere(file: Path) -> None:
    broken = []
    for link in LINK.findall(without_code(file.read_text())):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (file.parent / path).resolve() if path else file
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    linked = set(LINK.findall((docs / "README.md").read_text()))
    pages = {str(file.relative_to(docs)) for file in docs.rglob("*.md")} - {"README.md"}
    assert len(pages) > 10
    assert pages <= linked


def test_every_setting_that_is_mentioned_exists() -> None:
    known = code.settings_read() | code.settings_of_supervisord() | ELSEWHERE
    assert words(r"CLIPPER_[A-Z_]+", text=everything()) - known == set()


def test_every_metric_that_is_mentioned_exists() -> None:
    known = set(NO_METRICS)
    suffixes_of = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}
    for metric, described in named_metrics().items():
        suffixes = suffixes_of.get(described.type, ("",))
        # The family's name without the suffix of its counter is how benchmarks speak of it.
        known |= {metric, metric.removesuffix("_total"), *(metric + s for s in suffixes)}
    assert words(r"clipper_[a-z_]+", text=everything()) - known == set()


def test_every_error_that_an_example_shows_exists() -> None:
    shown = set(re.findall(r'"code": ?"(\w+)"', everything()))
    assert "invalid_input" in shown
    assert shown <= {error.code for error in family()}


def test_every_check_that_is_mentioned_exists() -> None:
    checks = (ROOT / "clipper_site/checks.py").read_text()
    mentioned = words(r"clipper\.[EW]\d{3}", text=everything())
    assert mentioned == words(r"clipper\.[EW]\d{3}", text=checks)


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = set(re.findall(r"(?:`|^|; )make ([a-z-]+)", everything(), re.MULTILINE))
    assert mentioned - targets == set()


def test_every_file_that_is_mentioned_exists() -> None:
    paths = r"(?:clipper_site|registry|selection|serving|scripts|tests|examples|benchmarks)/[\w/.]+"
    mentioned = {path.rstrip(".") for path in words(paths, text=everything())}
    missing = {p for p in mentioned if "NAME" not in p and not (ROOT / p).exists()}
    # What a run leaves is not in the repository.
    left = {f"benchmarks/results/{name}.json" for name in ("learning", "quick", "soak")}
    assert missing - left == set()


@pytest.mark.parametrize("file", PAGES, ids=name)
def test_python_examples_are_python(file: Path) -> None:
    for block in FENCE.finditer(file.read_text()):
        if block["language"] == "python":
            ast.parse(block["code"])
