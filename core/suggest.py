"""Suggest the known name closest to a misspelt one."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice


def meant(name: str, known: Iterable[str]) -> str:
    """Return a hint in brackets, "" where nothing is near."""
    names = list(islice(known, 101))
    # A longer name is no slip of the pen; comparing with a hundred takes 0.3 ms.
    if len(name) > 40 or len(names) > 100:
        return ""
    found = get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.75)
    return f" (did you mean {found[0]!r}?)" if found else ""
