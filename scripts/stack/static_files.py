"""Collecting static files for the web process, only where they changed since the last start."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .layout import ROOT, Layout
from .supervision import manage
from .terminal import say


def collect(layout: Layout, *, environment: Mapping[str, str]) -> None:
    stamp = layout.var / "static" / ".collected-from"
    fingerprint = _fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    say("Collecting static files ...")
    # Maps to others' sources would be most of what there is to compress, and nobody reads them.
    how = ("--noinput", "--clear", "--verbosity=0", "--ignore=*.map")
    manage("collectstatic", *how, environment=environment)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(fingerprint)


def _fingerprint() -> str:
    """Of our own files and of the versions installed, which bring the rest."""
    digest = hashlib.sha256((ROOT / "requirements.txt").read_bytes())
    for file in sorted((ROOT / "static").rglob("*")):
        if file.is_file():
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
