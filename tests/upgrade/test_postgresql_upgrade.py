"""On PostgreSQL, too, today's migrations start from an older version's tables and keep all rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.site import manage
from tests.site.postgresql_server import postgresql_server
from tests.upgrade.state import DATABASE, REPORTED, unpack

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]

SETUP = "import django, json; django.setup(); "
MIGRATE = SETUP + (
    "from django.core.management import call_command\n"
    "for app, name in json.loads({wanted!r}): call_command('migrate', app, name, verbosity=0)"
)
LIVE = SETUP + (
    "from registry.models import Model\n"
    "print(json.dumps({m.name: m.live_version.version for m in Model.objects.all()}))"
)
# Django adds to these after each migration.
KEPT_BY_DJANGO = {"django_migrations", "django_content_type", "auth_permission"}


def test_rows_of_an_older_version_are_kept(tmp_path: Path) -> None:
    unpack(tmp_path)
    with (
        closing(sqlite3.connect(tmp_path / DATABASE)) as old,
        postgresql_server() as url,
        connected(url) as new,
    ):
        run("-c", MIGRATE.format(wanted=json.dumps(migrations_of(old))), var=tmp_path, url=url)
        copy(old, new)
        before = counts(new)
        assert before["registry_auditentry"] > 40
        assert before["selection_feedback"] > 40
        run("manage.py", "migrate", "--noinput", var=tmp_path, url=url)
        after = counts(new)
        assert {table: after[table] for table in before} == before
        live = json.loads(run("-c", LIVE, var=tmp_path, url=url))
    models = json.loads(REPORTED.read_text())["lists"]["models/"]
    assert live == {model["name"]: model["live_version"] for model in models}


def run(*arguments: str, var: Path, url: str) -> str:
    done = manage.run(*arguments, var=var, DATABASE_URL=url, timeout_s=100.0)
    assert done.returncode == 0, done.stderr
    return done.stdout


def connected(url: str) -> psycopg.Connection[Any]:
    parts = urlsplit(url)
    return psycopg.connect(
        host=unquote(parts.netloc.partition("@")[2]),
        user=parts.username,
        dbname=parts.path.strip("/"),
        autocommit=True,
    )


def migrations_of(old: sqlite3.Connection) -> list[tuple[str, str]]:
    """The last migration of each application that this database has."""
    query = "SELECT app, max(name) FROM django_migrations GROUP BY app ORDER BY app"
    return old.execute(query).fetchall()


def copy(old: sqlite3.Connection, new: psycopg.Connection[Any]) -> None:
    """Put the rows of all tables into the same tables of PostgreSQL, in place of what is there."""
    # Neither foreign keys nor the trigger that guards the audit trail are asked meanwhile.
    new.execute("SET session_replication_role = replica")
    new.execute("SET TIME ZONE 'UTC'")
    names = sql.SQL(", ").join(map(sql.Identifier, tables(new)))
    new.execute(sql.SQL("TRUNCATE {}").format(names))
    for table in tables(new):
        types = columns(new, table)
        name = sql.Identifier(table)
        wanted = ", ".join(f'"{column}"' for column in types)
        rows = old.execute(f'SELECT {wanted} FROM "{table}"')
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            name,
            sql.SQL(", ").join(map(sql.Identifier, types)),
            sql.SQL(", ").join([sql.Placeholder()] * len(types)),
        )
        with new.cursor() as cursor:
            cursor.executemany(statement, [converted(row, types.values()) for row in rows])
        if "id" in types:
            new.execute(
                sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), max(id)) FROM {}").format(
                    table, name
                )
            )
    new.execute("SET session_replication_role = DEFAULT")


def tables(new: psycopg.Connection[Any]) -> list[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
    return [name for (name,) in new.execute(query) if name != "django_migrations"]


def columns(new: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """The types of a table's columns by their names."""
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
    return dict(new.execute(query, (table,)).fetchall())


def converted(row: tuple[Any, ...], types: Iterable[str]) -> list[Any]:
    """SQLite has no type of its own for what is true, and keeps the rest as text."""
    return [
        bool(value) if kind == "boolean" and value is not None else value
        for value, kind in zip(row, types, strict=True)
    ]


def counts(new: psycopg.Connection[Any]) -> dict[str, int]:
    """How many rows each table has that is ours to fill."""
    return {
        table: len(
            new.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(table))).fetchall()
        )
        for table in tables(new)
        if table not in KEPT_BY_DJANGO
    }
