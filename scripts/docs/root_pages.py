"""Pages of the site that lie elsewhere in the repository, and links that lead out of docs/."""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Where each is in the site. The root is where people and their tools look for them.
SITE_PATHS = {
    "ARCHITECTURE.md": "explanation/architecture.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "CHANGELOG.md": "contributing/changelog.md",
    "examples/README.md": "how-to/examples.md",
}
_SOURCES = {page: source for source, page in SITE_PATHS.items()}
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<text>!?\[(?P<words>[^\]]*)\])\((?P<target>[^)\s]+)\)")


def source_of(page: str) -> str:
    """Return where the text of a page of the site comes from, as a path from the root."""
    return _SOURCES.get(page, f"docs/{page}")


def relinked(text: str, *, page: str) -> str:
    """Return the text of a page with links as the site has them."""
    kept = FENCE.findall(text)
    parts = FENCE.split(text)
    changed = [LINK.sub(lambda link: _link(link, page=page), part) for part in parts]
    return "".join(part + fence for part, fence in zip(changed, [*kept, ""], strict=True))


def _link(link: re.Match[str], *, page: str) -> str:
    path, hash_sign, anchor = link["target"].partition("#")
    if not path or re.match(r"\w+:", path):
        return link[0]
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source_of(page)), path))
    in_site = SITE_PATHS.get(target) or target.removeprefix("docs/")
    if in_site == target and not (ROOT / "docs" / target).exists():
        return f"{link['words']} (`{target}`)" if (ROOT / target).exists() else link[0]
    return f"{link['text']}({_relative(in_site, page=page)}{hash_sign}{anchor})"


def _relative(target: str, *, page: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(page) or ".")
