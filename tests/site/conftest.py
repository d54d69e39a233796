"""A PostgreSQL for several files here."""

from collections.abc import Iterator

import pytest

from tests.site import manage
from tests.site.postgresql_server import USER, MigratedServer, postgresql_server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MigratedServer]:
    """One for all; each makes a database in it, with the tables that the migrations made once."""
    with postgresql_server() as url:
        var = tmp_path_factory.mktemp("migrated")
        done = manage.run("manage.py", "migrate", "--noinput", var=var, DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
        yield MigratedServer(url=url, template=USER)
