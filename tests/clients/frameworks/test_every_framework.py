"""A model of each framework that is at hand: deployed, asked, replaced, rolled back."""

import sys
from pathlib import Path

import pytest

from tests.frameworks.acceptance import Server, check, removed, used
from tests.frameworks.rows import LATER, LIGHT, Row
from tests.integration.stack import Stack

ROWS = [pytest.param(row, id=row.name) for row in LIGHT if row.name not in LATER]


@pytest.mark.parametrize("row", ROWS)
def test_its_user_writes_three_lines_and_a_rollback_leads_back(
    row: Row, stack: Stack, key: str
) -> None:
    server = Server(url=stack.url, key=key)
    assert len(row.deploying.splitlines()) == 3
    check(row, used(row, python=Path(sys.executable), server=server))
    removed(row, server)
