"""Ways to combine that installed packages add, under the entry point group `clipper.combine`."""

import logging
from importlib.metadata import entry_points

from selection.answers.combine import METHODS, custom

ENTRY_POINTS = "clipper.combine"

logger = logging.getLogger(__name__)


def add_installed_combines() -> None:
    """Make what packages bring known by name; ours keep theirs, and a broken one is left out."""
    for entry_point in entry_points(group=ENTRY_POINTS):
        if entry_point.name in METHODS:
            continue
        try:
            METHODS[entry_point.name] = custom(entry_point.name, entry_point.load())
        except Exception:
            logger.exception("combine %r is broken and left out", entry_point.name)


def combine_names() -> list[str]:
    """Every way to combine that an application may name, ours first."""
    return list(METHODS)
