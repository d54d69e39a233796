"""Files of inputs, row by row: CSV, JSON lines and NumPy's arrays."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError

FORMATS = ("csv", "jsonl", "npy")
STDIN = "-"


def format_of(file: str, *, said: str | None, known: tuple[str, ...] = FORMATS) -> str:
    """Return the format of a file, by its ending unless it is said."""
    found = said or Path(file).suffix.removeprefix(".").replace("ndjson", "jsonl") or "jsonl"
    if found not in known:
        raise ValueError(f"Expected a file of {', '.join(known)}, or --format, got {file}.")
    return found


def takes_columns(client: Client, app: str) -> bool:
    """Return whether rows have names; a key that may not look at the application sends numbers."""
    try:
        found = client.request("GET", f"applications/{app}")
    except ClipperError as error:
        if error.status == 403:
            return False
        raise
    return found["input_type"] in ("columns", "json")


def rows_in(file: str, *, format: str, columns: bool, skip: int) -> Any:
    if format == "npy":
        import numpy as np

        array = np.load(file, mmap_mode="r", allow_pickle=False)
        skipped, rows = min(skip, len(array)), array[skip:]
    else:
        rows = _csv_rows(file, columns=columns) if format == "csv" else _json_lines(file)
        skipped = sum(1 for _ in islice(rows, skip))
    if skipped < skip:
        raise ValueError(f"{file}: expected at least the {skip:,} rows that have outputs.")
    return rows


def _json_lines(file: str) -> Iterator[Any]:
    with opened(file) as lines:
        for at, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield msgspec.json.decode(line)
                except msgspec.DecodeError as error:
                    raise ValueError(f"{file}, line {at}: expected JSON: {error}.") from error


def _csv_rows(file: str, *, columns: bool) -> Iterator[Any]:
    with opened(file) as lines:
        reader = csv.reader(lines)
        head = next(reader, [])
        for cells in reader:
            where = f"{file}, line {reader.line_num}"
            if len(cells) != len(head):
                raise ValueError(f"{where}: expected {len(head)} cells, got {len(cells)}.")
            if columns:
                yield dict(zip(head, map(cell, cells), strict=True))
            else:
                yield [number(cell, where=where) for cell in cells]


def cell(text: str) -> float | str | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def number(text: str, *, where: str) -> float | None:
    found = cell(text)
    if isinstance(found, str):
        raise ValueError(f"{where}: expected numbers, got {text!r}.")
    return found


@contextmanager
def opened(file: str) -> Iterator[IO[str]]:
    if file == STDIN:
        yield sys.stdin
    else:
        # Excel begins its files with a mark that would be part of the first column's name.
        with Path(file).open(newline="", encoding="utf-8-sig") as lines:
            yield lines
