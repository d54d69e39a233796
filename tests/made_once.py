"""Rows that are worked out once, and that later tests of a process get again."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import Model


class Inserts:
    """Django's statements to insert these rows: repeating them is a fiftieth of the work."""

    def __init__(self, rows: Sequence[Sequence[Model]]) -> None:
        self._statements: list[tuple[str, Any]] = []
        with transaction.atomic(), connection.execute_wrapper(self._note):
            for of_a_table in filter(None, rows):
                type(of_a_table[0])._base_manager.bulk_create(of_a_table)
            transaction.set_rollback(True)

    def __call__(self) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            for statement, values in self._statements:
                cursor.execute(statement, values)

    def _note(self, execute: Callable[..., Any], sql: str, params: Any, *more: Any) -> Any:
        if sql.startswith("INSERT"):
            self._statements.append((sql, params))
        return execute(sql, params, *more)


class MadeOnce:
    """Rows that the services of the registry have made, by key."""

    def __init__(self) -> None:
        self._inserts: dict[Hashable, Inserts] = {}

    def have(self, key: Hashable, make: Callable[[], object]) -> None:
        """Let the registry, in which nothing is yet, hold what `make` makes."""
        if key not in self._inserts:
            self._inserts[key] = _inserts_of(make)
        self._inserts[key]()


def _inserts_of(make: Callable[[], object]) -> Inserts:
    """Return the inserts of the rows that `make` makes, and leave none of these rows."""
    tables = list(apps.get_app_config("registry").get_models(include_auto_created=True))
    with transaction.atomic():
        assert not any(table._base_manager.exists() for table in tables)
        make()
        made = [list(table._base_manager.all()) for table in tables]
        transaction.set_rollback(True)
    return Inserts(made)
