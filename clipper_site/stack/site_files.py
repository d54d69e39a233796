"""Static files and documentation, made anew when their sources changed."""

import fcntl
import hashlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from clipper_site import ROOT
from clipper_site.stack.environment import without_another_stack
from clipper_site.stack.layout import Layout
from clipper_site.stack.processes import MARK
from clipper_site.stack.supervision import manage, start
from clipper_site.stack.terminal import say

# Bring static files of their own.
PACKAGES = (
    *("django", "django-unfold", "djangorestframework"),
    *("drf-spectacular-sidecar", "whitenoise"),
)
PAGES = ROOT / "docs"
BUILT = ROOT / "build" / "docs" / "index.html"
BUILDER = ("-m", "scripts.docs.build", "--idle")


@contextmanager
def docs_built_meanwhile(layout: Layout) -> Iterator[None]:
    """Have the documentation built while the block runs; what isn't done by its end is given up."""
    if _is_current():
        yield
        return
    with (layout.logs / "docs.log").open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        environment = without_another_stack(os.environ) | {MARK: str(layout.var)}
        builder = start(BUILDER, environment=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        if builder.poll() is None:
            os.killpg(builder.pid, signal.SIGTERM)
            builder.wait()


def _is_current() -> bool:
    newest = max(page.stat().st_mtime for page in PAGES.rglob("*.md"))
    return BUILT.is_file() and BUILT.stat().st_mtime >= newest


def collect_static(layout: Layout, *, environment: Mapping[str, str], beside_old: bool) -> None:
    """Collect what changed; `beside_old` keeps the files of processes that still run."""
    stamp = layout.var / "static" / ".collected-from"
    fingerprint = _static_fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    say("Collecting static files ...")
    # Maps to others' sources would be most of what there is to compress, and nobody reads them.
    how = ("--noinput", "--verbosity=0", "--ignore=*.map", *([] if beside_old else ["--clear"]))
    manage("collectstatic", *how, environment=environment)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(fingerprint)


def _static_fingerprint() -> str:
    """Return a digest of our own files and of the packages that bring the rest."""
    digest = hashlib.sha256(" ".join(map(version, PACKAGES)).encode())
    for file in sorted((ROOT / "static").rglob("*")):
        if file.is_file():
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
