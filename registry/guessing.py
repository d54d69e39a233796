"""Which of the names that there are somebody meant who wrote another one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# Beyond, it is no slip of the pen, and comparing takes time.
LONGEST = 40
ALIKE = 0.75


def meant(name: str, known: Iterable[str]) -> str:
    """Return a hint in brackets, "" where nothing is near."""
    if len(name) > LONGEST:
        return ""
    found = get_close_matches(name.lower().replace("-", "_"), list(known), n=1, cutoff=ALIKE)
    return f" (did you mean {found[0]!r}?)" if found else ""
