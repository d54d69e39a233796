"""Hooks that MkDocs calls while it builds the site; `mkdocs.yml` names this file."""

import re
import sys
from hashlib import sha256
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

# MkDocs loads a hook as a file, wherever it is started.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.docs.generated import filled
from scripts.docs.root_pages import ROOT, SITE_PATHS, relinked

# With an attribute it is a file already, or no script at all but data.
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    for source, page in SITE_PATHS.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    return relinked(filled(markdown), page=page.file.src_uri)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Leave out what only a site with an address of its own has a use for."""
    for name in ("404.html", "sitemap.xml", "sitemap.xml.gz"):
        (Path(config.site_dir) / name).unlink(missing_ok=True)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    return scripts_apart(output, site=Path(config.site_dir), base=get_relative_url(".", page.url))


def scripts_apart(page: str, *, site: Path, base: str) -> str:
    """Move inline scripts into files below `site`, which `base` leads to: no page runs others."""

    def apart(script: re.Match[str]) -> str:
        name = f"assets/inline/{sha256(script[1].encode()).hexdigest()[:16]}.js"
        file = site / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script[1])
        return f'<script src="{base}/{name}"></script>'

    return INLINE.sub(apart, page)
