"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from clipper_client.answers import Release


def print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_line(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    """Say in one line what went wrong, whatever the text holds."""
    print(f"clipper: {' '.join(text.split())}", file=sys.stderr)


def warn(release: Release) -> None:
    """Say what a release warns of."""
    for warning in release.warnings:
        complain(f"warning: {release.model}:{release.version}: {warning}")


def print_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print columns as wide as their widest cell; nothing at all where there are no rows."""
    cells = [[shown(cell) for cell in row] for row in rows]
    if not cells:
        return
    widths = [max(len(row[at]) for row in [list(head), *cells]) for at in range(len(head))]
    for row in [[title.upper() for title in head], *cells]:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


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
