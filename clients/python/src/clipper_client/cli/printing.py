"""Output of a command: lines, JSON, tables and complaints."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from clipper_client.answers import Rollout


def print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_line(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    """Print one line to standard error, whatever the text holds."""
    print(f"clipper: {' '.join(text.split())}", file=sys.stderr)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return columns as wide as their widest cell; nothing at all if there are no rows."""
    cells = [[shown(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    lines = [[title.upper() for title in head], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def rollout_table(rollouts: Iterable[Rollout]) -> str:
    """Return a line for each rollout: how far it is, and what is next to end it."""
    rows = [
        [f"{each.model}:{each.version}", each.state, f"{each.percent:g} %", each.nearest_gate]
        for each in rollouts
    ]
    return table(["rollout", "state", "queries", "nearest gate"], rows)


def shown(value: Any) -> str:
    """Return a value in one line: text as it is, anything else as JSON."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return " ".join(value.split()) or "-"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "-"
    if isinstance(value, float):
        return f"{value:g}"
    return msgspec.json.encode(value).decode()
