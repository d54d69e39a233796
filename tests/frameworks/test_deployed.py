"""Models of heavy frameworks, deployed from their environments into others like them."""

import os
from collections.abc import Iterator

import pytest

from tests.frameworks.acceptance import Server, check, environments_of, removed, served_by, used
from tests.frameworks.environments import python_of
from tests.frameworks.heavy_rows import HEAVY
from tests.frameworks.rows import LATER, LIGHT, Row
from tests.frameworks.running import DEPLOYED

ROWS = [
    *((framework, row) for framework in os.environ[DEPLOYED].split() for row in HEAVY[framework]),
    *(("", row) for row in LIGHT if row.name in LATER),
]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served_by(tmp_path_factory.mktemp("stack") / "var") as server:
        yield server


@pytest.mark.timeout(1800)  # an environment is built twice: the user's, and the version's
@pytest.mark.parametrize(("framework", "row"), [pytest.param(*row, id=row[1].name) for row in ROWS])
def test_a_model_is_deployed_asked_replaced_and_rolled_back(
    server: Server, framework: str, row: Row
) -> None:
    with python_of(framework) as python:
        check(row, used(row, python=python, server=server))
    assert len(environments_of(row, server)) == (2 if framework else 0)
    removed(row, server)
