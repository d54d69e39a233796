"""Counts of the masters of web processes, asked at their sockets."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from serving.master.orders import COUNTS, OrderFailed, ordered

KINDS = ("predict", "console")

MasterCounts = Mapping[str, int]


def read_masters(run_dir: Path) -> dict[str, MasterCounts]:
    """Ask the masters of this host, blocking; one that doesn't answer is left out."""
    found: dict[str, MasterCounts] = {}
    for kind in KINDS:
        with suppress(OrderFailed, ValueError):
            path = run_dir / f"{kind}.master"
            lines = list(ordered(COUNTS, path=path, seconds=1.0))
            found[kind] = {name: int(count) for name, count in map(str.split, lines)}
    return found


def dying(masters: Mapping[str, MasterCounts]) -> str:
    """Say which kind of process died three times in a row; "" if none did."""
    for kind, counts in masters.items():
        if (times := counts.get("in_a_row", 0)) >= 3:
            return f"a {kind} process keeps dying, {times} times in a row: see {kind}.log"
    return ""
