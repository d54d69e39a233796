"""What the masters of web processes have counted, asked at their sockets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from serving.master.orders import COUNTS, OrderFailed, ordered

KINDS = ("predict", "console")
ANSWERED_WITHIN_S = 1.0
# So many times one after the other, and it is no accident.
KEEPS_DYING = 3

MasterCounts = Mapping[str, int]


def read_masters(run_dir: Path) -> dict[str, MasterCounts]:
    """Ask the masters of this host, blocking; one that doesn't answer, or is older, is left out."""
    found: dict[str, MasterCounts] = {}
    for kind in KINDS:
        with suppress(OrderFailed, ValueError):
            path = run_dir / f"{kind}.master"
            lines = list(ordered(COUNTS, path=path, seconds=ANSWERED_WITHIN_S))
            found[kind] = {name: int(count) for name, count in map(str.split, lines)}
    return found


def dying(masters: Mapping[str, MasterCounts]) -> str:
    """Say for people which kind of process keeps dying; "" where none does."""
    for kind, counts in masters.items():
        if (times := counts.get("in_a_row", 0)) >= KEEPS_DYING:
            return f"a {kind} process keeps dying, {times} times in a row: see {kind}.log"
    return ""
