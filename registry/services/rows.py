"""Rows that are locked before they are changed."""

from __future__ import annotations

from typing import TypeVar

from django.db import models

from registry.errors import NotFound

R = TypeVar("R", bound=models.Model)


def locked(row: R) -> R:
    """Return the row as it is in the database, locked for this transaction.

    Rows that refer to it may be written meanwhile: who holds one of those would else be waited for.
    Raises NotFound where it has been deleted meanwhile.
    """
    rows: models.QuerySet[R] = type(row)._default_manager.select_for_update(no_key=True)
    # In no other order: one by another table joins it, and locks its row as well.
    found = rows.order_by("pk").filter(pk=row.pk).first()
    if found is None:
        raise NotFound(f"There is no {row._meta.verbose_name} {row} any more.")
    return found
