"""Rows of the registry that its services make once, and that later tests of a process get again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from django.apps import apps
from django.db import connection, transaction


class MadeOnce:
    """By key, what inserts all that the services have made: a fiftieth of the work."""

    def __init__(self) -> None:
        self._inserts: dict[Hashable, list[tuple[str, Any]]] = {}

    def have(self, key: Hashable, make: Callable[[], object]) -> None:
        """Let the registry, in which nothing is yet, hold what `make` makes."""
        inserts = self._inserts.get(key)
        if inserts is None:
            inserts = self._inserts[key] = _inserts_of(make)
        with transaction.atomic(), connection.cursor() as cursor:
            for statement, values in inserts:
                cursor.execute(statement, values)


def _inserts_of(make: Callable[[], object]) -> list[tuple[str, Any]]:
    """What Django would say to insert what `make` makes; of both, nothing is left."""
    inserts = []

    def noted(execute: Callable[..., Any], sql: str, params: Any, *more: Any) -> Any:
        if sql.startswith("INSERT"):
            inserts.append((sql, params))
        return execute(sql, params, *more)

    tables = list(apps.get_app_config("registry").get_models(include_auto_created=True))
    with transaction.atomic():
        assert not any(table._base_manager.exists() for table in tables)
        with transaction.atomic():
            make()
            made = [(table, list(table._base_manager.all())) for table in tables]
            transaction.set_rollback(True)
        with connection.execute_wrapper(noted):
            for table, rows in made:
                table._base_manager.bulk_create(rows)
        transaction.set_rollback(True)
    return inserts
