"""Writes the table into its page: ``python -m tests.clients.refusals.page``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.docs.tables import code, table
from tests.clients.refusals.cases import Refusal, When
from tests.clients.refusals.table import TABLE

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/refusals.md"
TABLES = re.compile(r"^\| what .*\n(?:\|.*\n)+", re.MULTILINE)
COLUMNS: Mapping[When, Mapping[str, Callable[[Refusal], str]]] = {
    When.UPLOAD: {
        "what is uploaded": lambda case: case.title,
        "code": lambda case: code(case.code),
        "it says": lambda case: code(case.says),
    },
    When.CHECK: {
        "what is uploaded": lambda case: case.title,
        "it says": lambda case: code(case.says),
    },
    When.LIVE: {
        "what it answers with": lambda case: case.title,
        "code": lambda case: code(case.code),
        "it says": lambda case: code(case.says),
    },
}


def filled(text: str) -> str:
    """The page with the tables as they are now, in the order of its sections."""
    tables = iter(map(_table, When))
    return TABLES.sub(lambda found: next(tables), text)


def _table(when: When) -> str:
    columns = COLUMNS[when]
    rows = [[cell(case) for cell in columns.values()] for case in TABLE if case.when is when]
    return table(list(columns), rows)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
