"""Files of inputs, row by row: CSV, JSON lines and NumPy's arrays."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

FORMATS = ("csv", "jsonl", "npy")
STDIN = "-"


def format_of(file: str, *, said: str | None) -> str:
    """Return the format of a file, by its ending unless it is said."""
    found = said or Path(file).suffix.removeprefix(".").replace("ndjson", "jsonl") or "jsonl"
    if found not in FORMATS:
        raise ValueError(f"Expected a file of {', '.join(FORMATS)}, or --format, got {file}.")
    return found


def rows_in(file: str, *, format: str, columns: bool, skip: int) -> Any:
    """Return the rows of a file after the first `skip`. Raises ValueError where it has fewer.

    Of CSV they are dicts where the model takes `columns`, else numbers.
    """
    if format == "npy":
        import numpy as np

        array = np.load(file, mmap_mode="r", allow_pickle=False)
        _check_rows(len(array), file=file, skip=skip)
        return array[skip:]
    rows = _csv_rows(file, columns=columns) if format == "csv" else _json_lines(file)
    _check_rows(sum(1 for _ in islice(rows, skip)), file=file, skip=skip)
    return rows


def _check_rows(rows: int, *, file: str, skip: int) -> None:
    if rows < skip:
        raise ValueError(
            f"{file}: expected the {skip:,} rows that have outputs, and more, got {rows:,}; "
            "is it the file that was begun with?"
        )


def _json_lines(file: str) -> Iterator[Any]:
    with opened(file) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield msgspec.json.decode(line)
                except msgspec.DecodeError as error:
                    raise ValueError(f"{file}, line {number}: expected JSON: {error}.") from error


def _csv_rows(file: str, *, columns: bool) -> Iterator[Any]:
    """Yield the rows below the head; an empty cell is null."""
    with opened(file) as lines:
        reader = csv.reader(lines)
        head = next(reader, [])
        for cells in reader:
            if len(cells) != len(head):
                raise ValueError(
                    f"{file}, line {reader.line_num}: expected {len(head)} cells, got {len(cells)}."
                )
            if columns:
                yield dict(zip(head, map(cell, cells), strict=True))
            else:
                yield [number(cell, where=f"{file}, line {reader.line_num}") for cell in cells]


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
