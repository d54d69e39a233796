"""Hooks that MkDocs calls while it builds the site; `mkdocs.yml` names this file."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

# MkDocs loads a hook as a file, wherever it is started.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.docs.generated import filled
from scripts.docs.root_pages import ROOT, SITE_PATHS, relinked
from scripts.docs.scripts_apart import scripts_apart


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
