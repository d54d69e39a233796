"""Suggest the known name closest to a misspelt one."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

# Beyond, it is no slip of the pen, and comparing takes time.
LONGEST = 40
ALIKE = 0.75
# Comparing with so many takes 0.3 ms.
MOST = 100


def meant(name: str, known: Iterable[str]) -> str:
    """Return a hint in brackets, "" where nothing is near."""
    names = list(islice(known, MOST + 1))
    if len(name) > LONGEST or len(names) > MOST:
        return ""
    found = get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=ALIKE)
    return f" (did you mean {found[0]!r}?)" if found else ""
